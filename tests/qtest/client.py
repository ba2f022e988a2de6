# SPDX-License-Identifier: BSD-2-Clause
"""What an outside client of the qtest server needs: the protocols qtest and QMP, a VMM started as libqtest starts QEMU,
PCI configuration, the virtio transports, and a driver with split rings in guest memory. Nothing of it is the VMM's.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import time

PATIENCE = 20  # seconds until something that must happen counts as missing
PAGE = 4096
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

    def __init__(self, connection):
        connection.settimeout(PATIENCE)
        self.socket, self.file = connection, connection.makefile("rb")

    def send(self, text):
        self.socket.sendall(text.encode() + b"\n")

    def receive(self):
        line = self.file.readline()
        check(line.endswith(b"\n"), "the VMM hung up")
        return line.decode().rstrip("\r\n")


class Qtest(Lines):
    def __init__(self, connection):
        super().__init__(connection)
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
    def __init__(self, connection):
        super().__init__(connection)
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

    def deleted(self, device):
        """Waits for DEVICE_DELETED of a device with an id; parts of it may come before."""
        data = self.event("DEVICE_DELETED")
        while "device" not in data:
            data = self.event("DEVICE_DELETED")
        same(data, {"device": device, "path": f"/machine/peripheral/{device}"}, "DEVICE_DELETED")

    def event(self, name):
        """The data of the next such event; others before it are forgotten."""
        while True:
            event = self.events.pop(0) if self.events else json.loads(self.receive())
            if event["event"] == name:
                return event.get("data", {})


def program(vmm, target, work):
    """The VMM under the name that QEMU has for that architecture."""
    path = os.path.join(work, f"qemu-system-{target}")
    if not os.path.islink(path):
        os.symlink(os.path.abspath(vmm), path)
    return path


class Vm:
    """A VMM that was started as libqtest starts QEMU: it connects to the client's sockets."""

    extra = ["-audio", "none", "-machine", "accel=qtest"]  # QEMU has that -audio since 8.0

    def __init__(self, vmm, target, work, options):
        listeners = [self.listen(work, name) for name in ("qtest", "qmp")]
        self.process = subprocess.Popen(
            [program(vmm, target, work), "-qtest", f"unix:{work}/qtest", "-qtest-log", "/dev/null", "-chardev",
             f"socket,path={work}/qmp,id=char0", "-mon", "chardev=char0,mode=control", "-display",
             "none"] + options + self.extra, stdin=subprocess.DEVNULL)
        try:
            self.qtest, self.qmp = Qtest(listeners[0].accept()[0]), Qmp(listeners[1].accept()[0])
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
        listener.settimeout(PATIENCE)
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

class PciTransport:
    def __init__(self, qtest, function):
        self.qtest, self.f = qtest, function

    def decode(self):
        self.f.write(4, 7, 2)  # ports, memory, bus master

    def after_reset(self):
        same(self.f.read(4, 2), 0, "the command register after a reset")
        for n, addr in self.f.bars.items():
            self.f.write(0x10 + 4 * n, addr, 4)
        self.decode()

    def wait_wire(self, read_isr, bit):
        wait("interrupt", lambda: self.qtest.do("endianness") and any(self.qtest.level.values()))
        check(read_isr() & bit, "the ISR")
        check(not any(self.qtest.level.values()), "reading the ISR lowers the wire")


class VirtioPci(PciTransport):
    """A modern function. With MSI-X vector 0 is for configuration changes, vector N + 1 for queue N."""

    def __init__(self, qtest, function, msix_target):
        super().__init__(qtest, function)
        self.msix_target = msix_target
        transitional = function.device_id < 0x1040
        self.id = function.read(0x2e, 2) if transitional else function.device_id - 0x1040
        self.places, self.notify_off = {}, {}
        for at in function.capabilities(9):
            kind, bar = function.read(at + 3, 1), function.read(at + 4, 1)
            if 1 <= kind <= 4 and kind not in self.places:
                self.places[kind] = function.bar(bar) + function.read(at + 8, 4)
                if kind == 2:
                    self.multiplier = function.read(at + 16, 4)
        same(sorted(self.places), [1, 2, 3, 4], "structures of the function")
        self.common, self.notify, self.isr, self.config = (self.places[kind] for kind in (1, 2, 3, 4))
        self.decode()
        msix = next(function.capabilities(0x11), 0)
        if msix and msix_target:
            self.enable_msix(msix)
        else:
            self.msix_target = 0  # by wire

    def enable_msix(self, at):
        self.vectors = (self.f.read(at + 2, 2) & 0x7ff) + 1
        table = self.f.read(at + 4, 4)
        entry = self.f.bar(table & 7) + (table & ~7)
        self.f.write(at + 2, 0x8000, 2)
        for n in range(self.vectors):
            target = self.msix_target + 16 * n
            for off, value in ((0, target & 0xffffffff), (4, target >> 32), (8, 0xbeef00 + n), (12, 0)):
                self.qtest.put(entry + 16 * n + off, value, 4)

    def vector(self, queue):
        return min(queue + 1, self.vectors - 1)

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
            put(self.common + 0x1a, self.vector(n), 2)
            same(self.qtest.get(self.common + 0x1a, 2), self.vector(n), "the queue's vector")
        for off, addr in ((0x20, ring.desc), (0x28, ring.avail), (0x30, ring.used)):
            put(self.common + off, addr & 0xffffffff, 4)
            put(self.common + off + 4, addr >> 32, 4)
        self.notify_off[n] = self.qtest.get(self.common + 0x1e, 2)
        put(self.common + 0x1c, 1, 2)

    def kick(self, n):
        self.qtest.put(self.notify + self.notify_off[n] * self.multiplier, n, 2)

    def config_read(self, off, size):
        return self.qtest.get(self.config + off, size)

    def config_write(self, off, value, size):
        self.qtest.put(self.config + off, value, size)

    def queue_size(self, _):
        return 8

    def wait_interrupt(self, queue):
        """A message of its vector, or the wire that the ISR lets go."""
        if self.msix_target:
            wait(f"message of queue {queue}", lambda: self.message(self.vector(queue)))
            return
        self.wait_wire(lambda: self.qtest.get(self.isr, 1), 1)

    def wait_config_change(self):
        if self.msix_target:
            wait("message of a configuration change", lambda: self.message(0))
        else:
            self.wait_wire(lambda: self.qtest.get(self.isr, 1), 2)


class VirtioLegacyPci(PciTransport):
    """The registers of legacy virtio behind an I/O BAR."""

    version = 1

    def __init__(self, qtest, function, _):
        super().__init__(qtest, function)
        same(function.read(0x10, 4) & 1, 1, "BAR 0 is an I/O BAR")
        self.ports, self.id = function.bar(0), function.read(0x2e, 2)
        self.decode()

    def features(self):
        return self.qtest.inp(self.ports, 4)

    def accept(self, features):
        self.qtest.out(self.ports + 4, features & 0xffffffff, 4)

    def status(self, value=None):
        if value is not None:
            self.qtest.out(self.ports + 18, value, 1)
        return self.qtest.inp(self.ports + 18, 1)

    def queue_size(self, n):
        self.qtest.out(self.ports + 14, n, 2)
        return self.qtest.inp(self.ports + 12, 2)

    def queue_up(self, n, ring):
        same(self.queue_size(n), ring.size, "size of the queue")
        self.qtest.out(self.ports + 8, ring.desc // PAGE, 4)

    def kick(self, n):
        self.qtest.out(self.ports + 16, n, 2)

    def config_read(self, off, size):
        return self.qtest.inp(self.ports + 20 + off, size)

    def config_write(self, off, value, size):
        self.qtest.out(self.ports + 20 + off, value, size)

    def wait_interrupt(self, _):
        self.wait_wire(lambda: self.qtest.inp(self.ports + 19, 1), 1)

    def wait_config_change(self):
        self.wait_wire(lambda: self.qtest.inp(self.ports + 19, 1), 2)


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

    def config_write(self, off, value, size):
        self.qtest.put(self.base + 0x100 + off, value, size)

    def queue_size(self, _):
        return 8

    def after_reset(self):
        pass

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

    def __init__(self, qtest, memory, size):
        driver_part = (18 * size + 6 + PAGE - 1) & -PAGE
        whole = driver_part + ((8 * size + 6 + PAGE - 1) & -PAGE)
        self.qtest, self.size = qtest, size
        self.desc = memory.take(whole, PAGE)
        self.avail, self.used = self.desc + 16 * size, self.desc + driver_part
        self.added = self.seen = 0
        qtest.do(f"memset {self.desc:#x} {whole:#x} 0")

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
        self.rings = {n: Ring(self.qtest, memory, transport.queue_size(n)) for n in queues}
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
