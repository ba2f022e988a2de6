#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""An outside client of the qtest server drives virtio devices on every machine.

It knows the protocols (qtest, QMP, PCI, VIRTIO) and where QEMU has things, and nothing of this project: it starts the
VMM under a QEMU name with QEMU's options, finds devices by configuration cycles or in their windows, gives BARs
addresses of its own, lays split rings into guest memory and moves data.

usage: outside-client.py VMM [MACHINE...]
"""

import base64
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

PATIENCE = 20  # seconds until something that must happen counts as missing
PAGE = 4096
RNG, BALLOON, CONSOLE = 4, 5, 3  # VIRTIO device ids
VERSION_1 = 1 << 32
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK = 1, 2, 4, 8


def check(fact, what):
    if not fact:
        raise AssertionError(what)


def same(got, wanted, what):
    check(got == wanted, f"{what}: {got!r}, not {wanted!r}")


def wait(what, happened):
    """Asks until there is an answer other than None and False."""
    end = time.monotonic() + PATIENCE
    while True:
        answer = happened()
        if answer is not None and answer is not False:
            return answer
        check(time.monotonic() < end, f"in vain: {what}")
        time.sleep(0.001)


# --- the protocols ---

class Lines:
    """A connection that sends and receives lines."""

    def __init__(self, listener):
        listener.settimeout(PATIENCE)
        self.socket, _ = listener.accept()
        self.socket.settimeout(PATIENCE)
        self.file = self.socket.makefile("rb")

    def send(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def receive(self):
        line = self.file.readline()
        check(line.endswith(b"\n"), "the VMM hung up")
        return line.decode().rstrip("\r\n")


class Qtest(Lines):
    def __init__(self, listener):
        super().__init__(listener)
        self.level, self.raised = {}, {}

    def do(self, command):
        self.send(command)
        while True:
            words = self.receive().split()
            if words[0] != "IRQ":
                break
            line = int(words[2])
            self.level[line] = words[1] == "raise"
            self.raised[line] = self.raised.get(line, 0) + self.level[line]
        same(words[0], "OK", command[:80])
        return words[1] if len(words) > 1 else None

    def put(self, addr, value, size):
        self.do(f"write{' bw l   q'[size]} {addr:#x} {value:#x}")

    def get(self, addr, size):
        return int(self.do(f"read{' bw l   q'[size]} {addr:#x}"), 0)

    def out(self, port, value, size):
        self.do(f"out{' bw l'[size]} {port:#x} {value:#x}")

    def inp(self, port, size):
        return int(self.do(f"in{' bw l'[size]} {port:#x}"), 0)

    def write(self, addr, data):
        if data:
            self.do(f"write {addr:#x} {len(data):#x} 0x{data.hex()}")

    def read(self, addr, size):
        return bytes.fromhex(self.do(f"read {addr:#x} {size:#x}")[2:])


class Qmp(Lines):
    def __init__(self, listener):
        super().__init__(listener)
        self.events = []
        same(json.loads(self.receive())["QMP"]["version"]["qemu"]["major"], 7, "QMP's version")
        self("qmp_capabilities")

    def ask(self, command, **arguments):
        self.send(json.dumps({"execute": command, "arguments": arguments} if arguments else {"execute": command}))
        while True:
            message = json.loads(self.receive())
            if "event" not in message:
                return message
            self.events.append(message)

    def __call__(self, command, **arguments):
        answer = self.ask(command, **arguments)
        check("return" in answer, f"{command}: {answer}")
        return answer["return"]

    def event(self, name):
        """The data of the next such event; others before it are forgotten."""
        while True:
            event = self.events.pop(0) if self.events else json.loads(self.receive())
            if event["event"] == name:
                return event.get("data", {})


class Vm:
    """A VMM that was started as libqtest starts QEMU: it connects to the client's sockets."""

    def __init__(self, vmm, target, work, options):
        program = os.path.join(work, f"qemu-system-{target}")
        if not os.path.islink(program):
            os.symlink(os.path.abspath(vmm), program)
        listeners = [self.listen(work, name) for name in ("qtest", "qmp")]
        self.process = subprocess.Popen(
            [program, "-qtest", f"unix:{work}/qtest", "-qtest-log", "/dev/null",
             "-chardev", f"socket,path={work}/qmp,id=char0", "-mon", "chardev=char0,mode=control",
             "-display", "none", "-audio", "none"] + options + ["-machine", "accel=qtest"], stdin=subprocess.DEVNULL)
        try:
            self.qtest, self.qmp = Qtest(listeners[0]), Qmp(listeners[1])
        except BaseException:
            self.process.kill()
            raise
        finally:
            for listener in listeners:
                listener.close()

    @staticmethod
    def listen(work, name):
        path = os.path.join(work, name)
        if os.path.exists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        return listener

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM if kind is None else signal.SIGKILL)
        status = self.process.wait(PATIENCE)
        if kind is None:
            same(status, 0, "exit status after SIGTERM")


# --- PCI ---

class PortConfig:
    """Configuration mechanism #1, as clients of QEMU use it: the register's low bits in 0xcf8, data at 0xcfc."""

    def __init__(self, qtest):
        self.qtest = qtest

    def read(self, devfn, off, size):
        self.qtest.out(0xcf8, 1 << 31 | devfn << 8 | off, 4)
        return self.qtest.inp(0xcfc, size)

    def write(self, devfn, off, value, size):
        self.qtest.out(0xcf8, 1 << 31 | devfn << 8 | off, 4)
        self.qtest.out(0xcfc, value, size)


class Ecam:
    def __init__(self, qtest, base):
        self.qtest, self.base = qtest, base

    def read(self, devfn, off, size):
        return self.qtest.get(self.base + (devfn << 12) + off, size)

    def write(self, devfn, off, value, size):
        self.qtest.put(self.base + (devfn << 12) + off, value, size)


class PciFunction:
    def __init__(self, bus, devfn):
        self.bus, self.devfn, self.bars = bus, devfn, {}
        self.device_id = self.read(2, 2)

    def read(self, off, size):
        return self.bus.config.read(self.devfn, off, size)

    def write(self, off, value, size):
        self.bus.config.write(self.devfn, off, value, size)

    def capabilities(self, wanted):
        at = self.read(0x34, 1)
        while at:
            if self.read(at, 1) == wanted:
                yield at
            at = self.read(at + 1, 1)

    def bar(self, n):
        """Its address: the bus's next free one, at the first use."""
        if n not in self.bars:
            reg = 0x10 + 4 * n
            self.write(reg, 0xffffffff, 4)
            value = self.read(reg, 4)
            mask = 0xfffffffc if value & 1 else 0xfffffff0
            check(value & mask, f"BAR {n} has no size")
            size = (value & mask) & -(value & mask)
            self.bars[n] = self.bus.allocate(size, value & 1)
            self.write(reg, self.bars[n], 4)
            if value & 7 == 4:
                self.write(reg + 4, 0, 4)
        return self.bars[n]


class PciBus:
    def __init__(self, config, memory, ports=0):
        self.config, self.next = config, [memory, ports]

    def allocate(self, size, is_port):
        at = (self.next[is_port] + size - 1) & ~(size - 1)
        self.next[is_port] = at + size
        return at

    def functions(self):
        for slot in range(32):
            if self.config.read(slot << 3, 0, 2) != 0xffff:
                yield PciFunction(self, slot << 3)


# --- VIRTIO transports ---

class VirtioPci:
    """A modern function. With MSI-X vector 0 is for configuration changes, vector N + 1 for queue N."""

    def __init__(self, qtest, function, msix_target):
        self.qtest, self.f, self.msix_target = qtest, function, msix_target
        self.id = function.device_id - 0x1040
        self.places, self.notify_off = {}, {}
        for at in function.capabilities(9):
            kind, bar = function.read(at + 3, 1), function.read(at + 4, 1)
            if 1 <= kind <= 4 and kind not in self.places:
                self.places[kind] = function.bar(bar) + function.read(at + 8, 4)
                if kind == 2:
                    self.multiplier = function.read(at + 16, 4)
        same(sorted(self.places), [1, 2, 3, 4], "structures of the function")
        self.common, self.notify, self.isr, self.config = (self.places[kind] for kind in (1, 2, 3, 4))
        function.write(4, 6, 2)  # memory space, bus master
        if msix_target:
            self.enable_msix()

    def enable_msix(self):
        at = next(self.f.capabilities(0x11))
        vectors = (self.f.read(at + 2, 2) & 0x7ff) + 1
        table = self.f.read(at + 4, 4)
        entry = self.f.bar(table & 7) + (table & ~7)
        self.f.write(at + 2, 0x8000, 2)
        for n in range(vectors):
            for off, value in ((0, self.msix_target + 16 * n), (4, 0), (8, 0xbeef00 + n), (12, 0)):
                self.qtest.put(entry + 16 * n + off, value, 4)

    def message(self, vector):
        """Takes the message that came for a vector; None: none."""
        at = self.msix_target + 16 * vector
        data = self.qtest.get(at, 4)
        if data == 0:
            return None
        same(data, 0xbeef00 + vector, "data of the message")
        self.qtest.put(at, 0, 4)
        return True

    def features(self):
        value = 0
        for half in range(2):
            self.qtest.put(self.common, half, 4)
            value |= self.qtest.get(self.common + 4, 4) << 32 * half
        return value

    def accept(self, features):
        check(features & VERSION_1, "a modern device")
        for half in range(2):
            self.qtest.put(self.common + 8, half, 4)
            self.qtest.put(self.common + 12, features >> 32 * half & 0xffffffff, 4)
        if self.msix_target:
            self.qtest.put(self.common + 0x10, 0, 2)
            same(self.qtest.get(self.common + 0x10, 2), 0, "the configuration vector")

    def status(self, value=None):
        if value is not None:
            self.qtest.put(self.common + 0x14, value, 1)
        return self.qtest.get(self.common + 0x14, 1)

    def queue_up(self, n, ring):
        put = self.qtest.put
        put(self.common + 0x16, n, 2)
        check(self.qtest.get(self.common + 0x18, 2) >= ring.size, f"queue {n} is there")
        put(self.common + 0x18, ring.size, 2)
        if self.msix_target:
            put(self.common + 0x1a, n + 1, 2)
            same(self.qtest.get(self.common + 0x1a, 2), n + 1, "the queue's vector")
        for off, addr in ((0x20, ring.desc), (0x28, ring.avail), (0x30, ring.used)):
            put(self.common + off, addr & 0xffffffff, 4)
            put(self.common + off + 4, addr >> 32, 4)
        self.notify_off[n] = self.qtest.get(self.common + 0x1e, 2)
        put(self.common + 0x1c, 1, 2)

    def kick(self, n):
        self.qtest.put(self.notify + self.notify_off[n] * self.multiplier, n, 2)

    def config_read(self, off, size):
        return self.qtest.get(self.config + off, size)

    def wait_interrupt(self, queue):
        """A message of its vector, or the wire that the ISR lets go."""
        if self.msix_target:
            wait(f"message of queue {queue}", lambda: self.message(queue + 1))
            return
        wait("interrupt", lambda: self.qtest.do("endianness") and any(self.qtest.level.values()))
        same(self.qtest.get(self.isr, 1) & 1, 1, "the ISR")
        check(not any(self.qtest.level.values()), "reading the ISR lowers the wire")

    def wait_config_change(self):
        if self.msix_target:
            wait("message of a configuration change", lambda: self.message(0))
        else:
            wait("a configuration change", lambda: self.qtest.get(self.isr, 1) & 2)


class VirtioMmio:
    """A window of register version 1 or 2; its wire is watched by irq_intercept_in."""

    def __init__(self, qtest, base, line):
        self.qtest, self.base, self.line = qtest, base, line
        same(self.reg(0), 0x74726976, "magic value")
        self.version, self.id = self.reg(4), self.reg(8)

    def reg(self, off, value=None):
        if value is None:
            return self.qtest.get(self.base + off, 4)
        return self.qtest.put(self.base + off, value, 4)

    def features(self):
        value = 0
        for half in range(2 if self.version == 2 else 1):
            self.reg(0x14, half)
            value |= self.reg(0x10) << 32 * half
        return value

    def accept(self, features):
        same(bool(features & VERSION_1), self.version == 2, "VERSION_1")
        for half in range(2 if self.version == 2 else 1):
            self.reg(0x24, half)
            self.reg(0x20, features >> 32 * half & 0xffffffff)

    def status(self, value=None):
        if value is not None:
            self.reg(0x70, value)
        return self.reg(0x70)

    def queue_up(self, n, ring):
        self.reg(0x30, n)
        check(self.reg(0x34) >= ring.size, f"queue {n} is there")
        if self.version == 1:
            self.reg(0x28, PAGE)
        self.reg(0x38, ring.size)
        if self.version == 1:
            self.reg(0x3c, PAGE)
            self.reg(0x40, ring.desc // PAGE)
            return
        for off, addr in ((0x80, ring.desc), (0x90, ring.avail), (0xa0, ring.used)):
            self.reg(off, addr & 0xffffffff)
            self.reg(off + 4, addr >> 32)
        self.reg(0x44, 1)

    def kick(self, n):
        self.reg(0x50, n)

    def config_read(self, off, size):
        return self.qtest.get(self.base + 0x100 + off, size)

    def wait_bit(self, bit):
        wait(f"line {self.line}", lambda: self.qtest.do("endianness") and self.qtest.level.get(self.line))
        check(self.reg(0x60) & bit, "the interrupt status")
        self.reg(0x64, bit)

    def wait_interrupt(self, _):
        self.wait_bit(1)
        check(not self.qtest.level[self.line], "acknowledging lowers the wire")

    def wait_config_change(self):
        self.wait_bit(2)


# --- the driver ---

class Memory:
    """Gives out guest memory, never back."""

    def __init__(self, base):
        self.next = base

    def take(self, size, align=16):
        at = (self.next + align - 1) & ~(align - 1)
        self.next = at + size
        return at


class Ring:
    """A split ring in the layout that a legacy device expects, too: one block, the used ring on a page of its own."""

    def __init__(self, qtest, memory, size=8):
        self.qtest, self.size = qtest, size
        self.desc = memory.take(2 * PAGE, PAGE)
        self.avail, self.used = self.desc + 16 * size, self.desc + PAGE
        self.added = self.seen = 0
        qtest.do(f"memset {self.desc:#x} {2 * PAGE:#x} 0")

    def add(self, addr, size, device_writes):
        slot = self.added % self.size
        self.qtest.write(self.desc + 16 * slot, struct.pack("<QIHH", addr, size, 2 if device_writes else 0, 0))
        self.qtest.put(self.avail + 4 + 2 * slot, slot, 2)
        self.added += 1
        self.qtest.put(self.avail + 2, self.added & 0xffff, 2)

    def take(self):
        """Address and length of the next used buffer, or None."""
        if self.qtest.get(self.used + 2, 2) == self.seen & 0xffff:
            return None
        slot, size = struct.unpack("<II", self.qtest.read(self.used + 4 + 8 * (self.seen % self.size), 8))
        self.seen += 1
        return self.qtest.get(self.desc + 16 * slot, 8), size


class Driver:
    def __init__(self, transport, memory, wanted=0, queues=()):
        self.t, self.qtest, self.memory = transport, transport.qtest, memory
        transport.status(0)
        transport.status(ACKNOWLEDGE | DRIVER)
        transport.accept(transport.features() & (VERSION_1 | wanted))
        if getattr(transport, "version", 2) == 2:
            ready = ACKNOWLEDGE | DRIVER | FEATURES_OK
            same(transport.status(ready), ready, "status after FEATURES_OK")
        self.rings = {n: Ring(self.qtest, memory) for n in queues}
        for n, ring in self.rings.items():
            transport.queue_up(n, ring)
        transport.status(transport.status() | DRIVER_OK)

    def send(self, queue, data):
        at = self.memory.take(len(data))
        self.qtest.write(at, data)
        self.rings[queue].add(at, len(data), False)
        self.t.kick(queue)
        wait(f"use of a buffer in queue {queue}", self.rings[queue].take)

    def offer(self, queue, size, count=1):
        for _ in range(count):
            self.rings[queue].add(self.memory.take(size), size, True)
        self.t.kick(queue)

    def receive(self, queue):
        at, size = wait(f"data in queue {queue}", self.rings[queue].take)
        return self.qtest.read(at, size)


def try_rng(vm, transport, memory):
    d = Driver(transport, memory, queues=[0])
    d.offer(0, 64)
    data = d.receive(0)
    same(len(data), 64, "random bytes")
    check(len(set(data)) > 8, f"these are random: {data.hex()}")
    transport.wait_interrupt(0)


def try_balloon(vm, transport, memory):
    d = Driver(transport, memory, wanted=2, queues=[0, 1, 2])  # STATS_VQ
    ram = vm.qmp("query-balloon")["actual"]
    vm.qmp("balloon", value=ram - 2 * PAGE)
    transport.wait_config_change()
    same(transport.config_read(0, 4), 2, "num_pages")
    pages = memory.take(2 * PAGE, PAGE)
    vm.qtest.do(f"memset {pages:#x} {2 * PAGE:#x} 0x5a")
    d.send(0, struct.pack("<II", pages // PAGE, pages // PAGE + 1))
    transport.wait_interrupt(0)
    same(vm.qtest.read(pages, 2 * PAGE), bytes(2 * PAGE), "pages that were given away")
    base = transport.config + 4 if isinstance(transport, VirtioPci) else transport.base + 0x104
    vm.qtest.put(base, 2, 4)
    same(vm.qmp.event("BALLOON_CHANGE"), {"actual": ram - 2 * PAGE}, "BALLOON_CHANGE")
    same(vm.qmp("query-balloon")["actual"], ram - 2 * PAGE, "query-balloon")
    d.send(1, struct.pack("<II", pages // PAGE, pages // PAGE + 1))


def control(d, port=None, event=None, value=1):
    """A control message: sent when there is an event, else the next one that came."""
    if event is not None:
        d.send(3, struct.pack("<IHH", port, event, value))
        return None
    data = d.receive(2)
    d.offer(2, 64)
    return struct.unpack("<IHH", data[:8]) + (data[8:],)


def try_serial(vm, transport, memory, peer):
    """A virtserialport named "org.outside" whose stream is the socket peer."""
    d = Driver(transport, memory, wanted=2, queues=[0, 1, 2, 3, 4, 5])  # MULTIPORT; ports 0 and 1
    d.offer(2, 64, 7)
    control(d, 0xffffffff, 0)  # DEVICE_READY
    port, event, *_ = control(d)
    same((port, event), (1, 1), "PORT_ADD")
    control(d, 1, 3)  # PORT_READY
    told = {}
    while not {7, 6} <= set(told):  # PORT_NAME; PORT_OPEN: the socket has a peer
        port, event, value, text = control(d)
        told[event] = text.rstrip(b"\0") if event == 7 else value
    same((told[7], told[6]), (b"org.outside", 1), "name and state of the port")
    d.offer(4, 64)
    control(d, 1, 6)  # PORT_OPEN
    d.send(5, b"from the guest\n")
    same(peer.recv(100), b"from the guest\n", "what the host reads")
    peer.sendall(b"from the host\n")
    same(d.receive(4), b"from the host\n", "what the guest reads")


# --- the machines ---

class Pc:
    target, machine, suffix = "x86_64", "pc,", "-pci"  # the comma is libqtest's
    controller, ram, at = "ioapic", 0, ",addr=0{}.0"
    msix = True

    def find(self, vm, memory):
        bus = self.bus(vm.qtest)
        found = {}
        for f in bus.functions():
            if f.read(0, 2) == 0x1af4:
                t = VirtioPci(vm.qtest, f, memory.take(256) if self.msix else 0)
                found[t.id] = t
        return found

    def bus(self, qtest):
        return PciBus(PortConfig(qtest), 0xe0000000, 0xc000)

    def own(self, vm):
        """Firmware's view: the configuration ports tell memory and CPUs."""
        def item(key, size):
            vm.qtest.out(0x510, key, 2)
            return bytes(vm.qtest.inp(0x511, 1) for _ in range(size))
        same(item(0, 4), b"QEMU", "fw_cfg's signature")
        same(item(3, 8), struct.pack("<Q", 128 << 20), "fw_cfg's memory size")
        same(item(5, 2), b"\1\0", "fw_cfg's number of CPUs")
        self.hotplug(vm)

    @staticmethod
    def hotplug(vm):
        config = PortConfig(vm.qtest)
        vm.qmp("device_add", driver="virtio-rng-pci", id="rng1", addr="0x06")
        same(config.read(6 << 3, 0, 2), 0x1af4, "the device that was added")
        vm.qmp("device_del", id="rng1")
        vm.qtest.out(0xae08, 1 << 6, 4)
        same(vm.qmp.event("DEVICE_DELETED"), {"device": "rng1", "path": "/machine/peripheral/rng1"}, "DEVICE_DELETED")
        same(config.read(6 << 3, 0, 2), 0xffff, "its place")


class PcIntx(Pc):
    msix = False


class Microvm(Pc):
    machine, suffix, at = "microvm", "-device", ""
    windows, line = range(0xfeb00000, 0xfeb01000, 0x200), 16

    def find(self, vm, memory):
        all_windows = [VirtioMmio(vm.qtest, base, self.line + n) for n, base in enumerate(self.windows)]
        return {t.id: t for t in all_windows if t.id}

    def own(self, vm):
        pass


class MicrovmPci(Pc):
    machine = "microvm,pcie=on"

    def bus(self, qtest):
        return PciBus(Ecam(qtest, 0xe0000000), 0xc0000000, 0xc000)

    def own(self, vm):
        pass


class Virt(Microvm):
    target, machine, controller, ram = "aarch64", "virt", "gic", 0x40000000
    windows = range(0x0a000000, 0x0a004000, 0x200)

    def own(self, vm):
        same(VirtioMmio(vm.qtest, 0x0a003e00, 47).id, RNG, "the first device's window, the highest")


class VirtPci(Pc):
    target, machine, controller, ram = "aarch64", "virt", "gic", 0x40000000

    def bus(self, qtest):
        return PciBus(Ecam(qtest, 0x4010000000), 0x10000000)

    def own(self, vm):
        pass


class Arm(Virt):
    target = "arm"


def protocol(vm, ram):
    """What needs no device."""
    at = ram + 0x10000
    same(vm.qtest.do("endianness"), "little", "endianness")
    vm.qtest.put(at, 0x1122334455667788, 8)
    same([vm.qtest.get(at, size) for size in (1, 2, 4)], [0x88, 0x7788, 0x55667788], "widths")
    data = bytes(range(256)) * 40
    vm.qtest.do(f"b64write {at:#x} {len(data):#x} {base64.b64encode(data).decode()}")
    same(base64.b64decode(vm.qtest.do(f"b64read {at:#x} {len(data):#x}")), data, "base64")
    same(vm.qtest.read(at, len(data)), data, "hexadecimal digits")
    same(vm.qtest.do("clock_step 1000"), "1000", "the clock after a step")
    same(vm.qtest.do("clock_set 5000"), "5000", "the clock that was set")


def run_control(vm, transport):
    """stop, cont and a reset, which takes the devices' state."""
    vm.qmp("stop")
    vm.qmp.event("STOP")
    same(vm.qmp("query-status")["status"], "paused", "status after stop")
    vm.qmp("cont")
    vm.qmp.event("RESUME")
    check(transport.status() & DRIVER_OK, "the driver is there")
    vm.qmp("system_reset")
    same(vm.qmp.event("RESET"), {"guest": False, "reason": "host-qmp-system-reset"}, "RESET")
    if isinstance(transport, VirtioPci):
        same(transport.f.read(4, 2), 0, "the command register after a reset")
        for n, addr in transport.f.bars.items():
            transport.f.write(0x10 + 4 * n, addr, 4)
        transport.f.write(4, 6, 2)
    same(transport.status(), 0, "status after a reset")


def port_hotplug(vm):
    vm.qmp("device_add", driver="virtserialport", id="hp-port")
    vm.qmp("device_del", id="hp-port")
    same(vm.qmp.event("DEVICE_DELETED")["device"], "hp-port", "DEVICE_DELETED")
    same(vm.qmp.ask("device_del", id="hp-port")["error"]["class"], "DeviceNotFound", "the port that is gone")


def drive(vmm, kind, work):
    m = kind()
    options = ["-M", m.machine]
    for n, name in enumerate(("rng", "balloon", "serial")):
        options += ["-device", f"virtio-{name}{m.suffix},id={name}0{m.at.format(n + 3)}"]
    options += ["-device", "virtserialport,chardev=s0,name=org.outside",
                "-chardev", f"socket,path={work}/port,server=on,wait=off,id=s0", "-cpu", "max"]
    with Vm(vmm, m.target, work, options) as vm, socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(PATIENCE)
        peer.connect(f"{work}/port")
        vm.qtest.do(f"irq_intercept_in {m.controller}")
        protocol(vm, m.ram)
        memory = Memory(m.ram + 0x100000)
        found = m.find(vm, memory)
        same(sorted(found), sorted((RNG, BALLOON, CONSOLE)), "devices")
        try_rng(vm, found[RNG], memory)
        try_balloon(vm, found[BALLOON], memory)
        try_serial(vm, found[CONSOLE], memory, peer)
        m.own(vm)
        port_hotplug(vm)
        run_control(vm, found[RNG])


def introspect(vmm, target, machine, work):
    """What libqos asks a machine "none" before anything else."""
    with Vm(vmm, target, work, ["-M", "none"]) as vm:
        machines = {m["name"]: m for m in vm.qmp("query-machines")}
        check(machine in machines, f"{machine} is a machine of {target}")
        known = {"name", "alias", "is-default", "cpu-max", "hotpluggable-cpus", "numa-mem-supported", "deprecated",
                 "default-cpu-type", "default-ram-id"}
        for m in machines.values():
            check(set(m) <= known, f"members of a machine: {m}")
        types = {t["name"] for t in vm.qmp("qom-list-types", implements="device", abstract=True)}
        check({"virtio-rng-pci", "virtio-balloon-device", "virtserialport", "pci-device"} <= types, "device types")
        properties = {p["name"] for p in vm.qmp("device-list-properties", typename="virtio-balloon-pci")}
        check({"addr", "deflate-on-oom"} <= properties, "properties of a device type")
        check(vm.qmp("qom-list-properties", typename="virtio-rng-pci"), "properties of a type")
        check("max" in {c["name"] for c in vm.qmp("query-cpu-definitions")}, "CPU models")


MACHINES = {"pc": Pc, "pc-intx": PcIntx, "microvm": Microvm, "microvm-pcie": MicrovmPci, "virt": Virt,
            "virt-pci": VirtPci, "virt-arm": Arm}


def main():
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(MACHINES):
        print(__doc__.splitlines()[-1], f"\nmachines: {' '.join(MACHINES)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as work:
        for target, machine in (("x86_64", "pc"), ("aarch64", "virt"), ("arm", "virt")):
            introspect(sys.argv[1], target, machine, work)
        for name in sys.argv[2:] or MACHINES:
            try:
                drive(sys.argv[1], MACHINES[name], work)
            except Exception as e:
                print(f"FAILED: {name}: {e}")
                raise
            print(f"{name}: as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
