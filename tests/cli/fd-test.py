#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""File descriptors that the program inherits: -add-fd and /dev/fdset/N, sockets of -chardev.

usage: fd-test.py VMM
"""

import json
import os
import socket
import subprocess
import sys
import tempfile

failures = []


def check(what, good, got=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {got!r}")


def run(vmm, *words, fds=()):
    got = subprocess.run([vmm, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         pass_fds=fds, timeout=60)
    return got.returncode, got.stdout, got.stderr.removeprefix("aerostat: error: ").rstrip("\n")


def bad(vmm, wanted, *words, fds=()):
    for check_only in ([], ["-check"]):
        got = run(vmm, *check_only, "-accel", "qtest", *words, fds=fds)
        check(f"{check_only} {words}", got == (1, "", wanted), got)


def errors(vmm, disk, log):
    for arg, why in (("set=1", "fd= is missing: fd=N,set=M"), ("fd=9", "set= is missing: fd=N,set=M"),
                     ("fd=x,set=1", "fd: 'x' is not a number"), ("fd=1,set=x", "fd=1: standard input, output and error are not "
                                                                 "for sets"),
                     ("fd=9,set=-1", "set: '-1' is negative"), ("fd=9,set=1,x=y", "unknown 'x'; known: fd, set, opaque")):
        bad(vmm, f"-add-fd {arg}: {why}", "-add-fd", arg)
    bad(vmm, "-add-fd 250: file descriptor 250 was not inherited", "-add-fd", "fd=250,set=1")
    add = ("-add-fd", f"fd={log},set=1")
    bad(vmm, "-chardev file: /dev/fdset/2: there is no such set", *add, "-chardev", "file,id=f,path=/dev/fdset/2", fds=[log])
    bad(vmm, "-serial /dev/fdset/2: there is no such set", *add, "-serial", "file:/dev/fdset/2", fds=[log])
    bad(vmm, "-chardev file: /dev/fdset/1: the set has no descriptor that was opened for writing only", "-add-fd",
        f"fd={disk},set=1", "-chardev", "file,id=f,path=/dev/fdset/1", fds=[disk])
    bad(vmm, "-object rng-random: cannot open filename=/dev/fdset/1: Permission denied", *add, "-object",
        "rng-random,id=r,filename=/dev/fdset/1", fds=[log])
    with open("bad.cfg", "w") as f:
        f.write('[add-fd]\n  fd = "250"\n  set = "1"\n')
    bad(vmm, "bad.cfg:1: file descriptor 250 was not inherited", "-readconfig", "bad.cfg")


def sets(vmm, disk, log, random):
    """All of it at once, with the monitor on a socket of ours."""
    ours, theirs = socket.socketpair()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    with open("fd.cfg", "w") as f:
        f.write(f'[add-fd]\n  fd = "{disk}"\n  set = "7"\n  opaque = "disk"\n')
    words = ["-accel", "qtest", "-readconfig", "fd.cfg", "-add-fd", f"fd={log},set=8", "-add-fd", f"fd={random},set=9",
             "-add-fd", f"fd={log},set=10", "-blockdev", "file,node-name=d,filename=/dev/fdset/7", "-serial",
             "file:/dev/fdset/8", "-chardev", "file,id=c,path=/dev/fdset/10", "-object",
             "rng-random,id=r,filename=/dev/fdset/9", "-chardev", f"socket,id=q,fd={theirs.fileno()}", "-mon",
             "chardev=q,mode=control", "-chardev", f"socket,id=l,server=on,wait=off,fd={listener.fileno()}", "-mon", "chardev=l"]
    fds = [disk, log, random, theirs.fileno(), listener.fileno()]
    got = run(vmm, "-check", *words, fds=fds)
    check("-check", got == (0, "", ""), got)
    got = run(vmm, "-dump-config", *words, fds=fds)
    check("-dump-config has the sets", got[0] == 0 and got[1].count("[add-fd]") == 4 and '  opaque = "disk"  # fd.cfg:4'
          in got[1], got)
    child = subprocess.Popen([vmm, *words], stdin=subprocess.DEVNULL, pass_fds=fds)
    theirs.close()
    ours.settimeout(60)
    stream = ours.makefile("rw")
    check("greeting", "QMP" in json.loads(stream.readline()))

    def ask(command):
        stream.write(json.dumps({"execute": command}))
        stream.flush()
        while True:
            answer = json.loads(stream.readline())
            if "event" not in answer:
                return answer.get("return", answer)
    ask("qmp_capabilities")
    found = {s["fdset-id"]: s["fds"] for s in ask("query-fdsets")}
    check("the sets", sorted(found) == [7, 8, 9, 10] and found[7][0]["opaque"] == "disk", found)
    held = {os.readlink(f"/proc/{child.pid}/fd/{n}") for n in os.listdir(f"/proc/{child.pid}/fd")}
    check("all is open", {os.path.abspath("disk"), os.path.abspath("log")} <= held, held)
    check("the numbers are free", all(not os.path.exists(f"/proc/{child.pid}/fd/{n}") or os.readlink(
        f"/proc/{child.pid}/fd/{n}") != os.readlink(f"/proc/self/fd/{n}") for n in (random,)))
    check("the disk", [n["file"] for n in ask("query-named-block-nodes")] == ["/dev/fdset/7"])
    human = socket.create_connection(listener.getsockname(), 60)
    check("a human monitor on our listener", human.recv(100).startswith(b"Aerostat "))
    human.close()
    ask("quit")
    check("exit status", child.wait(timeout=60) == 0, child.returncode)


def main():
    if len(sys.argv) != 2:
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    vmm = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        with open("disk", "wb") as f:
            f.truncate(1 << 20)
        disk = os.open("disk", os.O_RDWR)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        random = os.open("/dev/urandom", os.O_RDONLY)
        errors(vmm, disk, log)
        sets(vmm, disk, log, random)
        os.chdir("/")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
