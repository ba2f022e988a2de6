#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Several monitors of one VM at once: -qmp on a Unix socket and on TCP, -qmp-pretty, -mon, -monitor; streams that come by QMP.

usage: monitor-test.py VMM
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time

failures = []


def check(what, good, got=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {got!r}")


def connect(address, vmm):
    for _ in range(300):
        s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        try:
            s.connect(address)
            s.settimeout(30)
            return s
        except OSError:
            s.close()
            if vmm.poll() is not None:
                sys.exit(f"FAILED: the VMM ended with status {vmm.returncode}")
            time.sleep(0.1)
    sys.exit(f"FAILED: nobody at {address}")


class Qmp:
    """Messages may be laid out over lines: they are cut by their JSON, not by newlines."""

    def __init__(self, address, vmm):
        self.sock, self.text, self.events, self.raw = connect(address, vmm), "", [], ""
        self.greeting = self.next()
        self.ask("qmp_capabilities")

    def next(self):
        while True:
            text = self.text.lstrip()
            try:
                message, end = json.JSONDecoder().raw_decode(text)
                self.raw, self.text = text[:end], text[end:]
                return message
            except ValueError:
                more = self.sock.recv(65536)
                if not more:
                    raise EOFError from None
                self.text += more.decode()

    def ask(self, command, **arguments):
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments, "id": command}).encode())
        while "event" in (answer := self.next()):
            self.events.append(answer["event"])
        check(f"{command} has its id", answer.get("id") == command, answer)
        return answer.get("return", answer.get("error"))

    def wait(self, event):
        while event not in self.events:
            self.events.append(self.next()["event"])
        self.events.remove(event)


def hmp_prompt(sock):
    text = b""
    while not text.endswith(b"(aerostat) "):
        text += sock.recv(4096)
    return text.decode()


def hmp(sock, line):
    """On a new connection: the first prompt comes before the answer."""
    hmp_prompt(sock)
    sock.sendall(line.encode() + b"\n")
    return hmp_prompt(sock)


def race(first, second):
    """Both ask for the same before either has its answer: one is told yes, the other no."""
    request = {"execute": "chardev-add", "arguments": {"id": "raced", "backend": {"type": "null", "data": {}}}}
    for round_ in range(50):
        for q in (first, second):
            q.sock.sendall(json.dumps({**request, "id": round_}).encode())
        got = []
        for q in (first, second):
            while "event" in (answer := q.next()):
                q.events.append(answer["event"])
            got.append(answer)
        check("one of two wins", sorted("error" in a for a in got) == [False, True] and all(a["id"] == round_ for a in got), got)
        check("the other can use it", second.ask("chardev-remove", id="raced") == {})


def human(qmp, child):
    """What the issue lists of the human monitor does what QMP sees."""
    sock = connect("hmp", child)
    hmp_prompt(sock)

    def say(line):
        sock.sendall(line.encode() + b"\n")
        return hmp_prompt(sock).removeprefix(line).removesuffix("(aerostat) ").strip()
    topics = [line.split()[1] for line in say("info").splitlines() if line.startswith("info ")]
    check("info has its topics", {"qtree", "qom-tree", "pci", "mtree", "virtio", "balloon", "block", "network", "status"} <=
          set(topics), topics)
    check("device_add", say("device_add virtio-balloon,id=hb,deflate-on-oom=on") == "")
    check("it is there", qmp.ask("qom-get", path="/machine/peripheral/hb", property="deflate-on-oom") is True)
    tree = qmp.ask("x-dump-tree")
    check("x-dump-tree has it", tree.startswith("digraph aerostat {\n") and tree.endswith("}\n") and
          '  "/machine/peripheral" -> "/machine/peripheral/hb";\n' in tree, tree)
    for topic in topics:
        check(f"info {topic}", "unknown" not in say(f"info {topic}"), topic)
        check(f"help info {topic}", say(f"help info {topic}").startswith(f"info {topic} "))
    names = [line.split()[0] for line in say("help").splitlines() if " -- " in line]
    check("help has its commands", {"balloon", "device_add", "device_del", "stop", "cont", "system_powerdown", "quit", "x", "xp",
                                    "info", "help"} <= set(names), names)
    for name in names:
        check(f"help {name}", say(f"help {name}").startswith(f"{name} "))
        sock.sendall(f"help {name}".encode() + b"\t\nnonsense\n")
        text = hmp_prompt(sock)
        while text.count("nonsense") < 2:  # a list of what may be meant ends with a prompt, too
            text += hmp_prompt(sock)
        check(f"help {name} and the tabulator key", f"\n{name} " in text, text)
    check("balloon", say("balloon 64") == "")
    qmp.events.clear()
    for line, event in (("cont", "RESUME"), ("stop", "STOP"), ("system_powerdown", "POWERDOWN")):
        check(line, say(line) == "")
        qmp.wait(event)
    check("xp", say("xp /1xb 0x1000").startswith("0000000000001000: 0x"))
    check("x needs a vCPU", say("x 0x1000") != "")
    say("device_del hb")
    sock.close()


def with_qmp(vmm, child):
    first, second = Qmp("q1", child), Qmp("q2", child)
    third, fourth = Qmp("pretty", child), Qmp("mon", child)
    for name, q, lines in (("-qmp", first, False), ("-qmp-pretty", third, True), ("-mon pretty=on", fourth, True)):
        q.ask("query-status")
        check(f"{name} has lines as asked for", ("\n" in q.raw) == lines, q.raw)
    chardevs = {c["label"]: c["filename"] for c in first.ask("query-chardev")}
    port = int(chardevs["compat_monitor2"].split(",")[0].rsplit(":", 1)[1])
    tcp = Qmp(("127.0.0.1", port), child)
    everyone = (first, second, third, fourth, tcp)
    first.ask("cont")
    for q in everyone:
        q.wait("RESUME")
    second.ask("stop")
    for q in everyone:
        q.wait("STOP")
    race(first, second)
    human(first, child)
    check("the human monitor sees it", "VM status: paused (paused)" in hmp(connect("hmp", child), "info status"))
    half = connect("q1", child)  # waits in the backlog; then leaves with half a request
    half.sendall(b'{"execute": "qmp_capa')
    half.close()
    for name in ("kept", "gone"):
        got = tcp.ask("chardev-add", id=name, backend={"type": "socket", "data": {
            "addr": {"type": "unix", "data": {"path": name}}}})
        check(f"chardev-add {name}", got == {}, got)
    connect("gone", child).close()
    check("chardev-remove", tcp.ask("chardev-remove", id="gone") == {} and not os.path.exists("gone"))
    got = tcp.ask("chardev-remove", id="compat_monitor0")
    check("a monitor's stream stays", got.get("desc") == "Chardev 'compat_monitor0' is busy", got)
    check("object-add", tcp.ask("object-add", **{"qom-type": "iothread", "id": "io"}) == {})
    check("it is there for all", [t["id"] for t in fourth.ask("query-iothreads")] == ["io"])
    check("object-del", third.ask("object-del", id="io") == {} and first.ask("query-iothreads") == [])
    tcp.ask("quit")
    for q in everyone:
        q.wait("SHUTDOWN")


def main():
    if len(sys.argv) != 2:
        print(__doc__.splitlines()[-1], file=sys.stderr)
        return 2
    vmm = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        child = subprocess.Popen([vmm, "-accel", "qtest", "-S", "-qmp", "unix:q1,server=on,wait=off", "-qmp",
                                  "unix:q2,server=on,wait=off", "-qmp", "tcp:127.0.0.1:0,server=on,wait=off", "-qmp-pretty",
                                  "unix:pretty,server=on,wait=off", "-monitor", "unix:hmp,server=on,wait=off", "-chardev",
                                  "socket,id=m,path=mon,server=on,wait=off", "-mon", "chardev=m,mode=control,pretty=on"],
                                 stdin=subprocess.DEVNULL)
        try:
            with_qmp(vmm, child)
            check("exit status", child.wait(timeout=30) == 0, child.returncode)
        finally:
            child.kill()
        check("no socket is left", not os.listdir("."), os.listdir("."))
        os.chdir("/")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
