#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Has -check look at a config file, starts the VMM with it, without guest, and compares its devices by QMP with what the file says.

usage: config-test.py VMM FILE [PATH.PROPERTY=VALUE...]
The machine and each named device of FILE must be there with its type and the values of its keys, and each property given
besides must have its value.
"""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time


def groups(path):
    """(group, id, {key: value}) for each group; the file is known to be good once the VMM has taken it."""
    found = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            if m := re.match(r'\s*\[\s*([\w-]+)\s*(?:"([^"]*)")?\s*\]', line):
                found.append((m[1], m[2], {}))
            elif m := re.match(r'\s*([\w.-]+)\s*=\s*"([^"]*)"', line):
                found[-1][2][m[1]] = m[2]
    return found


def tiny_kernel(path):
    """An ELF image with a PVH entry, for files with an append line: that needs a kernel."""
    header, code, address = 64 + 2 * 56, b"\xfa\xf4\xeb\xfd", 1 << 20
    note = struct.pack("<III4sI4x", 4, 8, 18, b"Xen\0", address)
    elf = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, address, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    elf += struct.pack("<IIQQQQQQ", 1, 5, header, address, address, len(code), 4096, 1)
    elf += struct.pack("<IIQQQQQQ", 4, 4, header + len(code), 0, 0, len(note), len(note), 4)
    with open(path, "wb") as f:
        f.write(elf + code + note)


class Qmp:
    def __init__(self, path, vmm):
        self.sock = socket.socket(socket.AF_UNIX)
        for _ in range(300):
            try:
                self.sock.connect(path)
                break
            except OSError:
                if vmm.poll() is not None:
                    sys.exit(f"FAILED: the VMM ended with status {vmm.returncode}")
                time.sleep(0.1)
        self.sock.settimeout(30)
        self.file = self.sock.makefile()
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        """The answer, or a text that begins with "error: "."""
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.file.readline())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                return f"error: {answer['error']['desc']}"

    def get(self, path, name):
        return self.ask("qom-get", path=path, property=name)


# Where QMP shows what a group sets; "%" stands for the id. Of the other groups nothing is compared.
PLACES = {
    ("memory", "size"): ("/machine", "ram-size"),
    ("smp-opts", "cpus"): ("/machine", "smp"),
    ("name", "guest"): ("/machine", "name"),
    ("machine", None): ("/machine", None),
    ("device", None): ("/machine/peripheral/%", None),
    ("object", None): ("/objects/%", None),
}


def same(got, want):
    """Is a value of QMP's what the file's text says?"""
    if isinstance(got, bool):
        return want in (("on", "yes", "true") if got else ("off", "no", "false"))
    if isinstance(got, int) and (m := re.fullmatch(r"(\d+)([KMG])", want)):
        return got == int(m[1]) << 10 * (1 + "KMG".index(m[2]))
    return str(got) == want or str(got).endswith(f"/{want}")  # a link reads as a path


def file_rows(qmp, path):
    for group, ident, keys in groups(path):
        for key, want in keys.items():
            where, name = PLACES.get((group, key)) or PLACES.get((group, None)) or (None, None)
            if not where or (group == "device" and not ident) or key == "accel":
                continue
            where, name = where.replace("%", ident or ""), name or key
            if key == "bus":
                continue  # QMP has no property of that name; another bus would not have taken the device
            if key in ("driver", "type", "qom-type"):
                got = qmp.get(where, "type")
                yield f"{where}.type", got, want, got in (want, f"{want}-pci", f"{want}-device", f"{want}-machine")
            else:
                got = qmp.get(where, name)
                yield f"{where}.{name}", got, want, same(got, want)


def needs_pressure(path):
    """Is there an object that reads the host's memory pressure?"""
    return any(keys.get("qom-type") == "balloon-policy" and keys.get("source", "psi") == "psi"
               for _, _, keys in groups(path))


def tells_pressure():
    try:
        with open("/proc/pressure/memory", encoding="ascii") as f:
            return bool(f.read())
    except OSError:
        return False


def needs_tap(path):
    return any(group == "netdev" and keys.get("type") == "tap" for group, _, keys in groups(path))


def into_own_network():
    """Starts over in a network namespace, where taps may be made; comes back where there is none to be had."""
    unshare = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return
    try:
        if subprocess.run(unshare + ["true"], stderr=subprocess.DEVNULL).returncode == 0:
            os.environ["CONFIG_TEST_OWN_NETWORK"] = "1"
            os.execvp(unshare[0], unshare + [sys.executable, "-I", os.path.abspath(sys.argv[0])] + sys.argv[1:])
    except FileNotFoundError:
        pass


def make_disks(path):
    """The files of the file's drives, below the working directory."""
    for group, _, keys in groups(path):
        if group == "drive" and not os.path.isabs(keys["file"]):
            os.makedirs(os.path.dirname(keys["file"]) or ".", exist_ok=True)
            with open(keys["file"], "wb") as f:
                f.truncate(1 << 20)


def more_rows(qmp, wanted):
    for text in wanted:
        name, value = text.split("=", 1)
        got = qmp.get(*name.rsplit(".", 1))
        yield name, got, value, same(got, value)


def main():
    if len(sys.argv) < 3:
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    vmm, path = (os.path.abspath(p) for p in sys.argv[1:3])
    if needs_pressure(path) and not tells_pressure():
        print("skipped: this kernel tells no memory pressure")
        return 77
    if needs_tap(path) and "CONFIG_TEST_OWN_NETWORK" not in os.environ:
        into_own_network()
        print("skipped: no network namespace with a tap here")
        return 77
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        make_disks(path)
        tiny_kernel("vmlinux")
        checked = subprocess.run([vmm, "-check", "-readconfig", path, "-kernel", "vmlinux"], stdin=subprocess.DEVNULL)
        child = subprocess.Popen([vmm, "-readconfig", path, "-kernel", "vmlinux", "-accel", "qtest", "-qmp",
                                  "unix:test.sock,server=on,wait=off"],
                                 stdin=subprocess.DEVNULL)
        try:
            qmp = Qmp("test.sock", child)
            rows = list(file_rows(qmp, path)) + list(more_rows(qmp, sys.argv[3:]))
            qmp.ask("quit")
            status = child.wait(timeout=30)
        finally:
            child.kill()
        os.chdir("/")
    failed = [row for row in rows if not row[3]]
    for name, got, want, _ in failed:
        print(f"FAILED: {name} is {got!r}, not {want!r}")
    if checked.returncode != 0:
        print("FAILED: -check finds faults")
    if status != 0:
        print(f"FAILED: exit status {status}")
    print(f"{len(rows) - len(failed)} of {len(rows)} as expected")
    return 1 if failed or status or checked.returncode or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
