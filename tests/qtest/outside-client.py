#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""An outside client of the qtest server drives virtio devices on every machine.

The client (client.py) knows the protocols, qtest, QMP, PCI and VIRTIO, and where QEMU has things, and nothing of this
project: it starts the VMM under a QEMU name with QEMU's options, finds devices by configuration cycles or in their
windows, gives BARs addresses of its own, lays split rings into guest memory and moves data.

usage: outside-client.py VMM [MACHINE...]
"""

import base64
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from client import (DRIVER_OK, PAGE, PATIENCE, Driver, Ecam, Memory, PciBus, PortConfig, Qtest,  # noqa: E402
                    VirtioLegacyPci, VirtioMmio, VirtioPci, Vm, check, program, same, wait)

RNG, BALLOON, CONSOLE = 4, 5, 3  # VIRTIO device ids


# --- the devices ---

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
    transport.config_write(4, 2, 4)  # actual
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
    msix, transport = True, VirtioPci
    size = 128 << 20  # of RAM, without -m

    def find(self, vm, memory):
        bus = self.bus(vm.qtest)
        found = {}
        for f in bus.functions():
            if f.read(0, 2) == 0x1af4:
                t = self.transport(vm.qtest, f, memory.take(256) if self.msix else 0)
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
        same(item(3, 8), struct.pack("<Q", self.size), "fw_cfg's memory size")
        same(item(5, 2), b"\1\0", "fw_cfg's number of CPUs")
        self.hotplug(vm)

    @staticmethod
    def hotplug(vm):
        config = PortConfig(vm.qtest)
        vm.qmp("device_add", driver="virtio-rng-pci", id="rng1", addr="0x06")
        same(config.read(6 << 3, 0, 2), 0x1af4, "the device that was added")
        vm.qmp("device_del", id="rng1")
        vm.qtest.out(0xae08, 1 << 6, 4)
        vm.qmp.deleted("rng1")
        same(config.read(6 << 3, 0, 2), 0xffff, "its place")

    def leave(self, vm):
        """A device goes while its driver runs."""
        vm.qmp("device_del", id="balloon0")
        check(vm.qmp("query-balloon"), "it waits to be ejected")
        vm.qtest.out(0xae08, 1 << 4, 4)
        self.gone(vm)

    @staticmethod
    def gone(vm):
        vm.qmp.deleted("balloon0")
        same(vm.qmp.ask("query-balloon")["error"]["class"], "DeviceNotActive", "the balloon that is gone")


class PcHigh(Pc):
    """With rings, buffers and the targets of messages above 4 GiB."""

    machine, ram, size = "pc -m 4G -smp 1", 4 << 30, 4 << 30


class PcIntx(Pc):
    msix = False


class PcLegacy(Pc):
    at = ",addr=0x{},disable-modern=on,disable-legacy=off"
    msix, transport = False, VirtioLegacyPci


class Microvm(Pc):
    machine, suffix, at = "microvm", "-device", ""
    windows, line = range(0xfeb00000, 0xfeb01000, 0x200), 16

    def find(self, vm, memory):
        all_windows = [VirtioMmio(vm.qtest, base, self.line + n) for n, base in enumerate(self.windows)]
        return {t.id: t for t in all_windows if t.id}

    def own(self, vm):
        pass

    def leave(self, vm):
        check("error" in vm.qmp.ask("device_del", id="balloon0"), "a window does not let its device go")


class MicrovmPci(Pc):
    machine = "microvm,pcie=on"

    def bus(self, qtest):
        return PciBus(Ecam(qtest, 0xe0000000), 0xc0000000, 0xc000)

    def own(self, vm):
        pass

    def leave(self, vm):
        vm.qmp("device_del", id="balloon0")  # nobody to ask: at once
        self.gone(vm)


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

    def leave(self, vm):
        vm.qmp("device_del", id="balloon0")  # nobody to ask: at once
        self.gone(vm)


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
    transport.after_reset()
    same(transport.status(), 0, "status after a reset")


def port_hotplug(vm):
    vm.qmp("device_add", driver="virtserialport", id="hp-port")
    vm.qmp("device_del", id="hp-port")
    vm.qmp.deleted("hp-port")
    same(vm.qmp.ask("device_del", id="hp-port")["error"]["class"], "DeviceNotFound", "the port that is gone")


def drive(vmm, kind, work):
    m = kind()
    options = ["-M"] + m.machine.split()
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
        m.leave(vm)
        run_control(vm, found[RNG])


def introspect(vmm, target, machine, work):
    """What libqos asks a machine "none" before anything else."""
    with Vm(vmm, target, work, ["-M", "none"]) as vm:
        machines = {m.get("alias", m["name"]): m for m in vm.qmp("query-machines")}
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


def attempt(path):
    """A connection to a socket on which somebody may listen soon."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
        return connection
    except OSError:
        connection.close()
        return None


def name_decides(vmm, work):
    """A machine of another architecture than the name's is refused."""
    got = subprocess.run([program(vmm, "aarch64", work), "-M", "pc", "-accel", "qtest"], capture_output=True, text=True,
                         timeout=PATIENCE)
    same(got.returncode, 1, "exit status of a machine of another architecture")
    check("-M: machine 'pc'" in got.stderr, f"the reason: {got.stderr}")


def listen_by_default(vmm, target, ram, no_ram, work):
    """A VMM that waits for its client; the machine is the one of its name; the log has both sides."""
    path, log = f"{work}/served-{target}", f"{work}/log-{target}"
    process = subprocess.Popen([program(vmm, target, work), "-accel", "qtest", "-qtest", f"unix:{path},server=on",
                                "-qtest-log", log, "-display", "none"], stdin=subprocess.DEVNULL)
    try:
        qtest = Qtest(wait("a listening VMM", lambda: attempt(path)))
        qtest.put(ram, 0x12345678, 4)
        same(qtest.get(ram, 4), 0x12345678, f"RAM of {target}")
        same(qtest.get(no_ram, 4), 0xffffffff, f"what is no RAM of {target}")
        process.send_signal(signal.SIGTERM)
        same(process.wait(PATIENCE), 0, "exit status after SIGTERM")
    finally:
        process.kill()
    with open(log) as f:
        kinds = {line[:3] for line in f}
    same(kinds, {"[I ", "[R ", "[S "}, "kinds of lines in the log")


MACHINES = {"pc": Pc, "pc-high": PcHigh, "pc-intx": PcIntx, "pc-legacy": PcLegacy, "microvm": Microvm,
            "microvm-pcie": MicrovmPci, "virt": Virt, "virt-pci": VirtPci, "virt-arm": Arm}


def main():
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(MACHINES):
        print(__doc__.splitlines()[-1], f"\nmachines: {' '.join(MACHINES)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as work:
        for target, machine in (("x86_64", "pc"), ("aarch64", "virt"), ("arm", "virt")):
            introspect(sys.argv[1], target, machine, work)
        listen_by_default(sys.argv[1], "x86_64", 0x100000, 0x40000000, work)
        listen_by_default(sys.argv[1], "aarch64", 0x40000000, 0x100000, work)
        name_decides(sys.argv[1], work)
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
