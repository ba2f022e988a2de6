#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Random valid and invalid QMP, with devices, objects, streams, networks and disks that come and go, while a guest runs.

usage: soak-test.py VMM [--seconds N] [--seed N]

A tiny guest counts, and ejects what is asked of it by the registers of ACPI's PCI hotplug. Requests come from a seeded
generator, of whose seed a failure tells; some clients break off in the middle of a request or do not read. Each answer must be
there, belong to its request and fit the schema that the VM serves, and so must each event. Every now and then all is removed:
then no file descriptor may be left over, and memory must not grow. Needs /dev/kvm.
"""

import argparse
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time

SKIP = 77
WAIT = 120        # seconds until something counts as stuck
ROUND = 150       # requests between clean-ups
GROWTH = 24 << 10 # KiB of resident memory that the last clean-up may have more than an early one

# out 0xae10 <- 0; eax = in 0xae04; if eax: out 0xae08 <- eax; ++*0x200000; pause 20000 times; again.
GUEST = bytes.fromhex("66ba10ae 31c0 ef 66ba04ae ed 85c0 7405 66ba08ae ef ff0500002000 b9204e0000 f390 e2fc ebda")


def kernel(path):
    header, address = 64 + 2 * 56, 1 << 20
    note = struct.pack("<III4sI4x", 4, 8, 18, b"Xen\0", address)
    elf = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, address, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    elf += struct.pack("<IIQQQQQQ", 1, 5, header, address, address, len(GUEST), 4096, 1)
    elf += struct.pack("<IIQQQQQQ", 4, 4, header + len(GUEST), 0, 0, len(note), len(note), 4)
    with open(path, "wb") as f:
        f.write(elf + GUEST + note)


class Failed(Exception):
    pass


class Schema:
    def __init__(self, entries):
        self.types = {e["name"]: e for e in entries if e["meta-type"] not in ("command", "event")}
        self.commands = {e["name"]: e for e in entries if e["meta-type"] == "command"}
        self.events = {e["name"]: e for e in entries if e["meta-type"] == "event"}

    def check(self, kind, value, where):
        t = self.types[kind]
        if t["meta-type"] == "builtin":
            fits = {"value": object, "boolean": bool, "int": int, "number": (int, float), "string": str}[t["json-type"]]
            good = isinstance(value, fits) and not (isinstance(value, bool) and t["json-type"] in ("int", "number"))
        elif t["meta-type"] == "enum":
            good = value in t["values"]
        elif t["meta-type"] == "array":
            good = isinstance(value, list)
            for one in value if good else ():
                self.check(t["element-type"], one, f"{where}[]")
        elif t["meta-type"] == "alternate":
            good = True
        else:
            good = isinstance(value, dict)
            members = {m["name"]: m for m in t["members"]}
            if good and "tag" not in t:
                good = set(value) <= set(members) and all(n in value or "default" in m for n, m in members.items())
            for name, one in value.items() if good else ():
                if name in members:
                    self.check(members[name]["type"], one, f"{where}.{name}")
        if not good:
            raise Failed(f"{where} is no {kind}: {json.dumps(value)[:300]}")


class Client:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WAIT)
        self.sock.connect(path)
        self.text, self.events, self.number, self.schema = b"", [], 0, None

    def message(self):
        while b"\n" not in self.text:
            try:
                more = self.sock.recv(1 << 16)
            except TimeoutError:
                raise Failed(f"no answer within {WAIT} s") from None
            if not more:
                raise Failed("the VM closed the connection")
            self.text += more
        line, self.text = self.text.split(b"\n", 1)
        return json.loads(line)

    def ready(self):
        if set(self.message()["QMP"]) != {"version", "capabilities"}:
            raise Failed("not QEMU's greeting")
        self.ask("qmp_capabilities")
        self.schema = self.schema or Schema(self.ask("query-qmp-schema"))
        return self

    def answer(self):
        while "event" in (m := self.message()):
            if self.schema:
                if m["event"] not in self.schema.events:
                    raise Failed(f"event {m['event']} is not in the schema")
                self.schema.check(self.schema.events[m["event"]]["arg-type"], m.get("data", {}), m["event"])
                if set(m) - {"data"} != {"event", "timestamp"}:
                    raise Failed(f"not an event: {m}")
            self.events.append(m)
            del self.events[:-200]
        return m

    def try_(self, command, arguments):
        """The answer, checked; an error is one."""
        self.number += 1
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments, "id": self.number}).encode())
        got = self.answer()
        if got.get("id") != self.number or len(got) != 2:
            raise Failed(f"{command} {arguments}: {got}")
        if "error" in got:
            if set(got["error"]) != {"class", "desc"} or "\n" in got["error"]["desc"]:
                raise Failed(f"{command} {arguments}: {got}")
        elif self.schema and command in self.schema.commands:
            self.schema.check(self.schema.commands[command]["ret-type"], got["return"], command)
        return got

    def ask(self, command, **arguments):
        got = self.try_(command, arguments)
        if "error" in got:
            raise Failed(f"{command} {arguments}: {got['error']['desc']}")
        return got["return"]

    def raw(self, data):
        """Not one request: an answer of query-status with an id of its own ends what comes back."""
        self.number += 1
        self.sock.sendall(data + b'\xff\n{"execute": "query-status", "id": "mark%d"}' % self.number)
        while self.answer().get("id") != f"mark{self.number}":
            pass


# --- requests ---

class Requests:
    NEVER = {"quit", "qmp_capabilities", "dump-guest-memory", "query-qmp-schema"}
    LINES = ("info status", "info qtree", "info qom-tree", "info pci", "info mtree", "info network", "info block", "info chardev",
             "info virtio", "info balloon", "info cpus", "xp /4wx 0x200000", "x /2i 0", "stop", "cont", "nonsense", "", "help",
             "balloon 64", "device_del d1", "netdev_del n1", "set_link n0 off", "info", "help info", "xp /999999999x 0")

    def __init__(self, rand, schema):
        self.rand, self.schema = rand, schema
        self.commands = sorted(set(schema.commands) - self.NEVER)

    def id(self, kind):
        return f"{kind}{self.rand.randrange(4)}"

    def device(self):
        r = self.rand
        kind, more = r.choice((
            ("virtio-rng", {}), ("virtio-rng-pci", {"rng": self.id("o"), "max-bytes": 64, "period": 1000}),
            ("virtio-balloon", {"deflate-on-oom": r.random() < 0.5}), ("virtio-serial", {}),
            ("virtio-blk", {"drive": self.id("b")}), ("virtio-blk", {"drive": self.id("b"), "iothread": self.id("o")}),
            ("virtio-net", {"netdev": self.id("n"), "mac": f"52:54:00:00:00:{r.randrange(256):02x}"}),
            ("virtconsole", {"chardev": self.id("c")}),
            ("virtserialport", {"chardev": self.id("c"), "name": self.id("p")}),
            ("virtio-baloon", {}), ("virtio-rng", {"nosuch": 1}), ("virtio-rng", {"bus": "nosuch"}),
            ("virtio-rng", {"addr": f"{r.randrange(40):x}"})))
        return "device_add", {"driver": kind, "id": self.id("d"), **more}

    def object(self):
        r = self.rand
        return "object-add", {"id": self.id("o"), **r.choice((
            {"qom-type": "rng-builtin"}, {"qom-type": "rng-random", "filename": r.choice(("/dev/urandom", "missing"))},
            {"qom-type": "iothread", "poll-max-ns": r.randrange(2) * 1000}, {"qom-type": "memory-backend-ram", "size": 1 << 20},
            {"qom-type": "memory-backend-memfd", "size": 1 << 20}, {"qom-type": "filter-dump", "netdev": self.id("n"), "file":
                                                                     "dump.pcap"},
            {"qom-type": "throttle-group"}, {"qom-type": "nosuch"}, {"qom-type": "memory-backend-ram", "size": -1}))}

    def stream(self):
        r, path = self.rand, self.id("s") + ".sock"
        kind, data = r.choice((
            ("null", {}), ("ringbuf", {"size": 1 << r.randrange(4, 20)}), ("ringbuf", {"size": 3}), ("pty", {}),
            ("file", {"out": self.id("f")}), ("file", {"out": "missing/x"}), ("nosuch", {}), ("null", {"id": "x"}),
            ("socket", {"addr": {"type": "unix", "data": {"path": path}}}),
            ("socket", {"addr": {"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}}),
            ("socket", {"addr": {"type": "unix", "data": {"path": path}}, "server": False}),
            ("socket", {"addr": {"type": "inet", "data": {"host": "127.0.0.1", "port": "1"}}, "server": False}),
            ("socket", {"addr": {"type": "fd", "data": {"str": "a"}}})))
        return "chardev-add", {"id": self.id("c"), "backend": {"type": kind, "data": data}}

    def net(self):
        r = self.rand
        return "netdev_add", {"id": self.id("n"), **r.choice((
            {"type": "user"}, {"type": "user", "restrict": True}, {"type": "null"}, {"type": "hubport", "hubid": r.randrange(3)},
            {"type": "socket", "listen": "127.0.0.1:0"}, {"type": "tap", "fd": "nosuch"}, {"type": "nosuch"},
            {"type": "stream", "server": True, "addr": {"type": "unix", "path": self.id("t") + ".sock"}},
            {"type": "stream", "addr": {"type": "inet", "host": "127.0.0.1", "port": "1"}, "reconnect": 1}))}

    def block(self):
        r = self.rand
        return "blockdev-add", {"node-name": self.id("b"), **r.choice((
            {"driver": "null-co", "size": 1 << 20}, {"driver": "null-co"}, {"driver": "file", "filename": "disk"},
            {"driver": "file", "filename": "missing"}, {"driver": "raw", "file": self.id("b")},
            {"driver": "raw", "file": {"driver": "file", "filename": "disk", "read-only": True}, "read-only": True},
            {"driver": "file", "filename": "/dev/fdset/1"}, {"driver": "nosuch"}, {"driver": "qcow2", "file": "b0"}))}

    def less(self):
        name, kind, key = self.rand.choice((("device_del", "d", "id"), ("object-del", "o", "id"), ("chardev-remove", "c", "id"),
                                            ("netdev_del", "n", "id"), ("blockdev-del", "b", "node-name")))
        return name, {key: self.id(kind)}

    def line(self):
        return "human-monitor-command", {"command-line": self.rand.choice(self.LINES)}

    def junk(self, depth=0):
        r = self.rand
        one = r.choice((None, True, 0, -1, 1 << 40, 1.5, "", "x", "d0", "b0", "n0", "\u00e9", "/machine", "on"))
        if depth > 3 or r.random() < 0.6:
            return one
        return [self.junk(depth + 1)] if r.random() < 0.5 else {r.choice(("id", "type", "x")): self.junk(depth + 1)}

    def value(self, kind):
        r = self.rand
        t = self.schema.types[kind]
        if r.random() < 0.1:
            return self.junk()
        if t["meta-type"] == "enum":
            return r.choice(t["values"])
        if t["meta-type"] == "array":
            return [self.value(t["element-type"]) for _ in range(r.randrange(3))]
        return {"str": lambda: r.choice(("d0", "d1", "o0", "n0", "b0", "c0", "/machine", "/machine/peripheral/d0/virtio-backend",
                                         "virtio-balloon", "type", "rtc", "container", "x")),
                "int": lambda: r.choice((0, 1, 2, 7, -1, 1 << 31, 1 << 62, r.randrange(1 << 16))),
                "bool": lambda: r.random() < 0.5}.get(kind, self.junk)()

    def any_command(self):
        name = self.rand.choice(self.commands)
        members = self.schema.types[self.schema.commands[name]["arg-type"]]["members"]
        return name, {m["name"]: self.value(m["type"]) for m in members if "default" not in m or self.rand.random() < 0.5}

    def next(self):
        return self.rand.choices((self.device, self.object, self.stream, self.net, self.block, self.less, self.line,
                                  self.any_command), (5, 3, 3, 3, 3, 9, 2, 6))[0]()

    def garbage(self):
        r = self.rand
        text = json.dumps({"execute": r.choice(self.commands), "arguments": self.junk()}).encode()
        at = r.randrange(len(text))
        return r.choice((text[:at], text[:at] + bytes([r.randrange(256)]) + text[at:], bytes(
            r.randrange(256) for _ in range(40)), b"[" * r.randrange(2000), b"{}", b"[]", b'"', b"\0", b"nul"))


# --- the VM ---

class Vm:
    def __init__(self, vmm):
        self.log = open("log", "w+")
        self.child = subprocess.Popen([vmm, "-M", "pc", "-accel", "kvm", "-m", "64", "-kernel", "kernel", "-nodefaults",
                                       "-qmp", "unix:q0,server=on,wait=off", "-qmp", "unix:q1,server=on,wait=off"],
                                      stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        for _ in range(WAIT * 10):
            if os.path.exists("q1") or self.child.poll() is not None:
                break
            time.sleep(0.1)
        if self.child.poll() is not None:
            raise Failed(f"the VM ended with status {self.child.returncode}")
        self.main = Client("q0").ready()

    def fds(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def resident(self):
        with open(f"/proc/{self.child.pid}/smaps_rollup", encoding="ascii") as f:
            return int(re.search(r"^Rss:\s+(\d+)", f.read(), re.MULTILINE)[1])

    def checks_memory(self):
        """A sanitizer keeps what was freed."""
        with open(f"/proc/{self.child.pid}/maps", encoding="utf-8") as f:
            return "libasan" not in f.read()

    def counter(self):
        return self.main.ask("human-monitor-command", **{"command-line": "xp /1wx 0x200000"})

    def guest_runs(self):
        before, end = self.counter(), time.monotonic() + WAIT
        while self.counter() == before:
            if time.monotonic() > end:
                raise Failed(f"the guest stands still: {self.main.ask('query-status')}")
            time.sleep(0.05)

    def names(self, path):
        rows = self.main.try_("qom-list", {"path": path}).get("return", [])
        return [row["name"] for row in rows if row["type"].startswith("child<")]

    def settle(self, what, done):
        end = time.monotonic() + WAIT
        while not done():
            if time.monotonic() > end:
                raise Failed(f"{what} within {WAIT} s")
            time.sleep(0.02)

    def clean(self):
        """Removes all that requests have made; the guest lets go of its devices."""
        m = self.main
        m.ask("cont")

        def devices_gone():
            for where in ("/machine/peripheral", "/machine/peripheral-anon"):
                for name in self.names(where):
                    m.try_("device_del", {"id": f"{where}/{name}"})
            return not self.names("/machine/peripheral")
        self.settle("devices are not gone", devices_gone)

        def all_gone():
            left = False
            for name in self.names("/objects"):
                left |= "error" in m.try_("object-del", {"id": name})
            for name in self.names("/netdevs"):
                left |= "error" in m.try_("netdev_del", {"id": name})
            for node in m.ask("query-named-block-nodes"):
                left |= "error" in m.try_("blockdev-del", {"node-name": node["node-name"]})
            for stream in m.ask("query-chardev"):
                if not stream["label"].startswith("compat_monitor"):
                    left |= "error" in m.try_("chardev-remove", {"id": stream["label"]})
            for entry in m.ask("query-fdsets"):
                m.try_("remove-fd", {"fdset-id": entry["fdset-id"]})
            return not left and not self.names("/objects") and not self.names("/netdevs")
        self.settle("not all is gone", all_gone)
        self.guest_runs()


def send_fd(client, rand):
    """getfd and add-fd with a descriptor, of which most are no sockets."""
    r, w = os.pipe()
    command = rand.choice(({"execute": "getfd", "arguments": {"fdname": "a"}}, {"execute": "add-fd", "arguments": {"fdset-id": 1}}))
    socket.send_fds(client.sock, [b" "], [r])
    os.close(r)
    os.close(w)
    client.try_(command["execute"], command["arguments"])


def guests(vm, requests, rand):
    """A second client, of the less polite kind."""
    other = Client("q1")
    kind = rand.randrange(4)
    if kind == 0:    # leaves in the middle of a request
        other.sock.sendall(b'{"execute": "qmp_capabilities"}{"execute": "query-st')
    elif kind == 1:  # asks much and reads nothing
        other.sock.settimeout(1)
        try:
            for _ in range(200):
                other.sock.sendall(b'{"execute": "qmp_capabilities"}' + b'{"execute": "query-qmp-schema"}' * 3)
        except OSError:
            pass
    elif kind == 2:  # closes one direction, and has its answer all the same
        other.message()
        other.sock.sendall(b'{"execute": "qmp_capabilities", "id": 7}')
        other.sock.shutdown(socket.SHUT_WR)
        other.message()
    else:            # races with the first
        other.schema = requests.schema
        other.ready()
        name, arguments = requests.less()
        vm.main.sock.sendall(json.dumps({"execute": name, "arguments": arguments, "id": "race"}).encode())
        other.try_(name, arguments)
        if vm.main.answer().get("id") != "race":
            raise Failed("not the answer of the race")
    other.sock.close()


def soak(vm, seconds, rand, counts):
    requests, end, first = Requests(rand, vm.main.schema), time.monotonic() + seconds, None
    vm.guest_runs()
    vm.clean()
    fds = vm.fds()
    while time.monotonic() < end or counts["rounds"] < 3:
        for _ in range(ROUND):
            what = rand.random()
            if what < 0.93:
                got = vm.main.try_(*requests.next())
                counts["errors" if "error" in got else "good"] += 1
            elif what < 0.97:
                vm.main.raw(requests.garbage())
                counts["garbage"] += 1
            elif what < 0.985:
                send_fd(vm.main, rand)
            else:
                guests(vm, requests, rand)
                counts["clients"] += 1
        vm.clean()
        vm.main.try_("closefd", {"fdname": "a"})
        vm.settle(f"{vm.fds()} descriptors are open, {fds} at the beginning; not so", lambda: vm.fds() <= fds)
        counts["rounds"] += 1
        if counts["rounds"] == 3:
            first = vm.resident()
    grown = vm.resident() - first
    print(f"resident memory: {first} KiB, and {grown} more in the end; {vm.fds()} descriptors")
    if vm.checks_memory() and grown > GROWTH:
        raise Failed(f"memory has grown by {grown} KiB")
    vm.main.ask("quit")
    if vm.child.wait(timeout=WAIT) != 0:
        raise Failed(f"exit status {vm.child.returncode}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vmm")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    args = parser.parse_args()
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as e:
        print(f"skipped: /dev/kvm: {e.strerror}")
        return SKIP
    vmm, counts, status, vm = os.path.abspath(args.vmm), dict(rounds=0, good=0, errors=0, garbage=0, clients=0), 0, None
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        kernel("kernel")
        with open("disk", "wb") as f:
            f.truncate(1 << 20)
        try:
            vm = Vm(vmm)
            soak(vm, args.seconds, random.Random(args.seed), counts)
        except (Failed, OSError, ValueError, subprocess.TimeoutExpired) as e:
            print(f"FAILED: {type(e).__name__}: {e}; again with --seed {args.seed}")
            status = 1
        finally:
            if vm:
                vm.child.kill()
                vm.child.wait()
        if status or (vm and vm.child.returncode not in (0, -9)):
            with open("log", encoding="utf-8", errors="replace") as f:
                print(f.read()[-6000:])
        os.chdir("/")
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    return status


if __name__ == "__main__":
    sys.exit(main())
