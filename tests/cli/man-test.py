#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""The manual pages have all that the tables have, and formatters find no fault with them; what is installed is complete.

usage: man-test.py VMM BUILD
BUILD is CMake's folder, of which an installation into a folder of its own is made.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

PAGES = {"1": "aerostat", "5": "aerostat-config", "7": "aerostat-qmp"}
# Below the prefix.
INSTALLED = ("bin/aerostat", "bin/aerostat-qmp", "share/man/man1/aerostat.1", "share/man/man5/aerostat-config.5",
             "share/man/man7/aerostat-qmp.7", "share/bash-completion/completions/aerostat",
             "share/zsh/site-functions/_aerostat", "lib/systemd/system/aerostat@.service")
failures = []


def check(what, good, got=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {got}")


def run(*words, **more):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, **more)


def plain(roff):
    """What stands in bold at the beginning of an item, and the titles."""
    text = re.sub(r"\\f[BIR]", "", roff).replace("\\-", "-").replace("\\(dq", '"')
    lines = text.splitlines()
    return {lines[i + 1].split(" ")[0] for i, line in enumerate(lines) if line == ".TP"} | {
        line.removeprefix(".SS ") for line in lines if line.startswith(".SS ")}


def contents(vmm, pages):
    options = set(re.findall(r"^  (-[\w-]+)", run(vmm, "-help").stdout, re.MULTILINE))
    check("aerostat(1) has each option", len(options) > 30 and options <= plain(pages["1"]), options - plain(pages["1"]))
    devices = set(re.findall(r'^name "([^"]+)"', run(vmm, "-device", "help").stdout, re.MULTILINE))
    check("aerostat(1) has each device", len(devices) > 10 and devices <= plain(pages["1"]), devices - plain(pages["1"]))
    check("aerostat-config(5) has each device", devices <= plain(pages["5"]), devices - plain(pages["5"]))
    groups = {f"[{name}" for name in json.loads(run(vmm, "-dump-schema").stdout)["properties"]}
    here = {item.rstrip("]") for item in plain(pages["5"])}
    check("aerostat-config(5) has each group", len(groups) > 10 and groups <= here, groups - here)
    properties = set(re.findall(r"^  ([a-z][\w.-]*=)<", run(vmm, "-device", "virtio-balloon-pci,help").stdout, re.MULTILINE))
    properties = {p for p in properties if not p.startswith("x-")}
    check("aerostat-config(5) has a device's properties", len(properties) > 10 and properties <= plain(pages["5"]),
          properties - plain(pages["5"]))
    for name in ("query-status", "device_add", "query-qmp-schema", "SHUTDOWN", "BalloonInfo", "RunState"):
        check(f"aerostat-qmp(7) has {name}", name in plain(pages["7"]))


def formatters(folder):
    for section, name in PAGES.items():
        path = os.path.join(folder, f"{name}.{section}")
        for words in (["groff", "-man", "-ww", "-Tutf8", path], ["mandoc", "-T", "lint", "-W", "warning", path]):
            if not shutil.which(words[0]):
                print(f"skipped: no {words[0]} here")
                continue
            got = run(*words)
            said = got.stderr if words[0] == "groff" else got.stdout + got.stderr
            said = "\n".join(line for line in said.splitlines() if "missing date" not in line)
            check(f"{words[0]} finds no fault with {name}({section})", not said, said)


def installation(build):
    """Of a build that has all: one of single targets has no pages."""
    if not os.path.exists(os.path.join(build, "docs", "aerostat.1")):
        print("skipped: the manual pages are not built")
        return
    with tempfile.TemporaryDirectory() as root:
        got = run("cmake", "--install", build, env={**os.environ, "DESTDIR": root})
        check("cmake --install", got.returncode == 0, got.stdout + got.stderr)
        files = {os.path.relpath(os.path.join(path, name), root) for path, _, names in os.walk(root) for name in names}
        for name in INSTALLED:
            check(f"{name} is installed", any(f.endswith(f"/{name}") for f in files), files)
        check("nothing else is", len(files) == len(INSTALLED), files)
        if shutil.which("man"):
            page = next((f for f in files if f.endswith("aerostat.1")), "")
            got = run("man", "--warnings", "-l", os.path.join(root, page), env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C"})
            check("man shows it", got.returncode == 0 and not got.stderr and "aerostat [option]" in got.stdout, got.stderr)


def main():
    if len(sys.argv) != 3:
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    vmm, build = (os.path.abspath(p) for p in sys.argv[1:])
    pages = {}
    with tempfile.TemporaryDirectory() as work:
        for section, name in PAGES.items():
            got = run(vmm, "-dump-man", section)
            check(f"-dump-man {section}", got.returncode == 0 and not got.stderr, got.stderr)
            pages[section] = got.stdout
            with open(os.path.join(work, f"{name}.{section}"), "w", encoding="utf-8") as f:
                f.write(got.stdout)
        formatters(work)
    contents(vmm, pages)
    got = run(vmm, "-dump-man", "3")
    check("there is no page 3", got.returncode == 1 and got.stderr == "aerostat: error: -dump-man 3: there is no such page: 1 "
          "is aerostat, 5 aerostat-config, 7 aerostat-qmp\n", got.stderr)
    installation(build)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
