#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""-gdb with gdb itself and with a client of its own, on a guest that counts (gdb-guest.c). Needs a /dev/kvm that opens.

usage: gdb-test.py VMM GUEST
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

SKIP = 77
HIGH = 0xffffffff80000000
failures = []


def check(what, good, got=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {got!r}")


def connect(path, child):
    for _ in range(600):
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            s.settimeout(60)
            return s
        except OSError:
            s.close()
            if child.poll() is not None:
                sys.exit(f"FAILED: the VMM ended with status {child.returncode}")
            time.sleep(0.1)
    sys.exit(f"FAILED: nobody at {path}")


class Qmp:
    def __init__(self, child):
        self.file, self.events = connect("qmp", child).makefile("rw"), []
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while "event" in (answer := json.loads(self.file.readline())):
            self.events.append(answer["event"])
        return answer.get("return", answer.get("error"))

    def status(self):
        return self.ask("query-status")["status"]


class Remote:
    """gdb's side of the protocol."""

    def __init__(self, child):
        self.sock, self.buf = connect("gdb", child), b""

    def byte(self):
        if not self.buf:
            self.buf = self.sock.recv(65536)
            if not self.buf:
                raise EOFError
        byte, self.buf = self.buf[:1], self.buf[1:]
        return byte

    def send(self, text):
        data = text.encode()
        self.sock.sendall(b"$" + data + b"#%02x" % (sum(data) & 255))
        check(f"{text} is acknowledged", self.byte() == b"+")

    def reply(self):
        while self.byte() != b"$":
            pass
        text = b""
        while (byte := self.byte()) != b"#":
            text += byte
        self.byte(), self.byte()
        self.sock.sendall(b"+")
        return text.decode()

    def ask(self, text):
        self.send(text)
        return self.reply()

    def number(self, address):
        return int.from_bytes(bytes.fromhex(self.ask(f"m{address:x},8")), "little")


class Vm:
    def __init__(self, vmm, *more):
        self.child = subprocess.Popen([vmm, "-nodefaults", "-m", "64", "-kernel", "guest", "-serial", "null", "-display", "none",
                                       "-qmp", "unix:qmp,server=on,wait=off", *more], stdin=subprocess.DEVNULL)
        self.qmp = Qmp(self.child)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        try:
            self.qmp.ask("quit")
        except (OSError, ValueError):  # it has ended
            pass
        check("the VMM ends well", self.child.wait(60) == 0, self.child.returncode)


def symbols():
    text = subprocess.run(["nm", "guest"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {line.split()[2]: int(line.split()[0], 16) for line in text.splitlines()}


def gdb(target, *commands):
    words = ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-ex", "set tcp connect-timeout 60",
             "-ex", f"target remote {target}"]
    for command in commands:
        words += ["-ex", command]
    got = subprocess.run(words + ["guest"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=300)
    return got.stdout


def expect(text, *patterns):
    at = 0
    for pattern in patterns:
        found = re.compile(pattern, re.MULTILINE).search(text, at)
        check(f"gdb says {pattern!r}", found, text[at:])
        if not found:
            return
        at = found.end()


def with_gdb(vmm):
    with Vm(vmm, "-S", "-gdb", "tcp::0", "-smp", "2") as vm:
        name = {c["label"]: c["filename"] for c in vm.qmp.ask("query-chardev")}["gdb"]
        check("without a host it is loopback", name.startswith("tcp:127.0.0.1:"), name)
        text = gdb(name.split(",")[0].removeprefix("tcp:"),
                   "info threads", "info registers rip rsi cs cr0", "stepi", "print/x $esi",
                   "hbreak count", "continue", "delete", "break work", "continue", "print counter", "continue",
                   "print counter", "info registers cr0 efer", "info registers", "next", "print counter",
                   f"x/1gd {HIGH:#x} + (unsigned long)&counter", "set var counter = 1000", "finish", "print counter",
                   "set $rax = 0x55", "print $rax", "set $xmm3.uint128 = 7", "print $xmm3.uint128", "print $ftag",
                   "delete", "detach")
        expect(text, r"^\* 1 .*CPU 0", r"^  2 .*CPU 1", r"^rip .*<start>", r"^cr0 +0x11 ",
               r"^\$1 = 0x12345678", r"hit Breakpoint 1, count \(\)", r"hit Breakpoint 2, work \(n=3\)", r"^\$2 = 0",
               r"hit Breakpoint 2, work", r"^\$3 = 3", r"^cr0 .*0x80000011", r"^efer .*0x500", r"^fs_base ", r"^k_gs_base ", r"^cr3 ", r"^\$4 = 6", r"^0xffffffff8\w+:\s6",
               r"^\$5 = 1000", r"^\$6 = 85", r"^\$7 = 7", r"^\$8 = 65535", "detached")
        check("after detach it runs", vm.qmp.status() == "running", vm.qmp.status())
        text = gdb(name.split(",")[0].removeprefix("tcp:"), "print counter > 1000", "kill")
        expect(text, r"^\$1 = 1")
        check("kill ends it", vm.child.wait(60) == 0)


def with_dump(vmm):
    at = symbols()
    with Vm(vmm, "-gdb", "unix:gdb,server=on", "-smp", "2") as vm:
        r = Remote(vm.child)
        r.ask(f"Z0,{at['work']:x},1")
        r.ask("c")
        r.ask(f"z0,{at['work']:x},1")
        counter = r.number(at["counter"])
        r.ask("D")
        check("it runs", vm.qmp.status() == "running")
        got = vm.qmp.ask("dump-guest-memory", paging=False, protocol="file:core")
        check("it is dumped", got == {} and vm.qmp.status() == "running", got)
        vm.qmp.ask("stop")
        now = r.number(at["counter"])
        if shutil.which("gdb"):
            got = subprocess.run(["gdb", "-nx", "-batch", "-ex", "print counter", "-ex", "info threads", "-ex",
                                  "info registers rip", "-ex", "bt", "guest", "core"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120).stdout
            expect(got, r"^\$1 = \d+$", r"^  2 ", r"^rip .*<(work|count)", r"^#. .*count \(\)")
            value = int(re.search(r"^\$1 = (\d+)", got, re.M)[1])
            check("the counter is of that moment", counter <= value <= now, (counter, value, now))


def with_client(vmm):
    at = symbols()
    with Vm(vmm, "-gdb", "unix:gdb,server=on") as vm:
        check("it runs without a debugger", vm.qmp.status() == "running")
        r = Remote(vm.child)
        check("it stops for one", r.ask("?") == "T05thread:01;" and vm.qmp.status() == "paused", vm.qmp.status())
        check("a breakpoint is set", r.ask(f"Z0,{at['work']:x},1") == "OK")
        check("the guest stops at it", r.ask("c") == "T05thread:01;" and vm.qmp.status() == "debug", vm.qmp.status())
        check("STOP, RESUME, STOP", [e for e in vm.qmp.events if e in ("STOP", "RESUME")][-3:] == ["STOP", "RESUME", "STOP"],
              vm.qmp.events)
        check("memory shows no INT3", r.ask(f"m{at['work']:x},1") != "cc")
        check("physical memory has it", vm.qmp.ask("human-monitor-command", **{"command-line": f"xp /1xb {at['work']}"})
              .endswith("0xcc\r\n"))
        check("it is removed", r.ask(f"z0,{at['work']:x},1") == "OK")
        check("the guest makes a step", r.ask("vCont;s:1").startswith("T05") and r.ask("s").startswith("T05"))
        check("the other mapping has the same", r.number(at["counter"]) == r.number(HIGH + at["counter"]) != 0)
        check("no memory there", r.ask("m4000000000,8") == "E0e")
        check("physical mode", r.ask("Qqemu.PhyMemMode:1") == "OK" and r.ask(f"m{HIGH + at['counter']:x},8") == "E0e")
        check("and back", r.ask("Qqemu.PhyMemMode:0") == "OK" and r.ask(f"m{HIGH + at['counter']:x},1") != "E0e")
        r.send("c")
        r.sock.sendall(b"\x03")
        check("Ctrl-C stops it", r.reply() == "T02thread:01;" and vm.qmp.status() == "paused")
        r.send("c")
        vm.qmp.ask("stop")
        check("the monitor's stop is told", r.reply() == "T02thread:01;")
        r.ask(f"Z0,{at['work']:x},1")
        r.send("c")
        check("again", r.reply().startswith("T05"))
        vm.qmp.ask("system_reset")
        r.send("c")
        check("a breakpoint outlives a reset, after which memory is loaded anew", r.reply().startswith("T05"))
        check("the counter is", r.number(at["counter"]) == 0)
        r.sock.close()
        r = Remote(vm.child)
        check("a new debugger finds no INT3", r.ask("?").startswith("T05") and vm.qmp.ask(
            "human-monitor-command", **{"command-line": f"xp /1xb {at['work']}"}).find("0xcc") < 0)
        check("D lets it run", r.ask("D") == "OK" and vm.qmp.status() == "running")
        check("it is stopped again", r.ask("?").startswith("T05") and vm.qmp.status() == "paused")
        r.send("vKill;1")
        check("vKill ends it", vm.child.wait(60) == 0)


def main():
    if len(sys.argv) != 3:
        print(__doc__.splitlines()[-1], file=sys.stderr)
        return 2
    vmm, guest = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as e:
        print(f"skipped: /dev/kvm: {e.strerror}")
        return SKIP
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        shutil.copy(guest, "guest")
        with_client(vmm)
        with_dump(vmm)
        if shutil.which("gdb"):
            with_gdb(vmm)
        else:
            print("left out: there is no gdb")
        os.chdir("/")
    return 1 if failures else 0


sys.exit(main())
