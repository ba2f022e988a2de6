#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""The systemd unit: systemd takes it, it is boxed in, and its commands check, start and stop a VM.

usage: service-test.py VMM QMP UNIT
The commands are run as the unit has them, with folders of the test's own and without KVM; systemd itself starts nothing.
"""

import json
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

EXPOSURE = 25  # tenths; systemd-analyze security calls up to 30 "OK"
failures = []


def check(what, good, got=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {got}")


def analyze(unit):
    if not shutil.which("systemd-analyze"):
        print("systemd-analyze is not here: the unit is only run")
        return
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    ours = [line for line in done.stdout.splitlines() if "aerostat" in line]
    check("systemd-analyze verify", done.returncode == 0 and not ours, done.stdout)
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", unit],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check("systemd-analyze security", done.returncode == 0, "\n".join(done.stdout.splitlines()[-3:]))


def commands(text, etc, run):
    """The Exec lines' words, as systemd would have them for the instance "vm"."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name.startswith("Exec"):
            value = value.replace("%i", "vm").replace("/etc/aerostat", etc).replace("/run/aerostat", run)
            found[name] = shlex.split(value)
    return found


def stop(words, watch, child):
    """Runs ExecStop; the VM has no guest, and ends when we have seen the power button."""
    lines = watch.makefile()
    lines.readline()
    watch.sendall(b'{"execute": "qmp_capabilities"}')
    lines.readline()
    stopping = subprocess.Popen(words, env={"PATH": "/usr/bin:/bin", "MAINPID": str(child.pid)},
                                stdout=subprocess.DEVNULL)
    event = json.loads(lines.readline()).get("event")
    check("ExecStop presses the power button", event == "POWERDOWN", event)
    time.sleep(0.3)
    check("ExecStop waits for the VM", stopping.poll() is None)
    watch.sendall(b'{"execute": "quit"}')
    check("the VM ends well", child.wait(timeout=30) == 0)
    check("ExecStop then ends", stopping.wait(timeout=30) == 0)


def run_commands(text, work):
    etc, run = os.path.join(work, "etc"), os.path.join(work, "run")
    os.makedirs(etc)
    os.makedirs(os.path.join(run, "vm"))
    config = os.path.join(etc, "vm.cfg")
    words = commands(text, etc, run)
    here = os.path.dirname(os.path.abspath(__file__))
    helpers = runpy.run_path(os.path.join(here, "config-test.py"))
    connect = runpy.run_path(os.path.join(here, "monitor-test.py"))["connect"]
    helpers["tiny_kernel"](os.path.join(etc, "vmlinux"))
    machine = f'[machine]\n  kernel = "{etc}/vmlinux"\n'
    with open(config, "w", encoding="utf-8") as f:
        f.write(f'{machine}[device "b0"]\n  driver = "virtio-baloon"\n')
    bad = subprocess.run(words["ExecStartPre"], stderr=subprocess.PIPE, text=True)
    check("ExecStartPre refuses a bad file", bad.returncode == 1 and f"{config}:3: " in bad.stderr, bad.stderr)
    with open(config, "w", encoding="utf-8") as f:
        f.write(f'{machine}[device "b0"]\n  driver = "virtio-balloon"\n[launch]\n  qmp = "unix:watch.sock,server=on,wait=off"\n')
    good = subprocess.run(words["ExecStartPre"], stderr=subprocess.PIPE, text=True)
    check("ExecStartPre takes a good file", good.returncode == 0, good.stderr)
    child = subprocess.Popen([*words["ExecStart"], "-accel", "qtest"], cwd=work, stdin=subprocess.DEVNULL)
    try:
        watch = connect(os.path.join(work, "watch.sock"), child)
        stop(words["ExecStop"], watch, child)
    finally:
        child.kill()
        child.wait()


def main():
    if len(sys.argv) != 4:
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    vmm, qmp, template = (os.path.abspath(p) for p in sys.argv[1:])
    with tempfile.TemporaryDirectory() as work:
        os.symlink(vmm, os.path.join(work, "aerostat"))
        os.symlink(qmp, os.path.join(work, "aerostat-qmp"))
        with open(template, encoding="utf-8") as f:
            text = f.read().replace("@BINDIR@", work)
        unit = os.path.join(work, "aerostat@vm.service")
        with open(unit, "w", encoding="utf-8") as f:
            f.write(text)
        analyze(unit)
        run_commands(text, work)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
