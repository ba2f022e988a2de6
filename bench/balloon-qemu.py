#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The same inflate requests to Aerostat and to QEMU, over the qtest protocol, without a guest.

    bench/balloon-qemu.py [--mib N] [--hugetlb] AEROSTAT [QEMU]

Each VMM is a microvm with a balloon on virtio-mmio; RAM is touched, then given by 256 page numbers a request. Printed are
the VMM's CPU time (the protocol's share is in both), its calls of madvise and fallocate (counted by strace in a run of its
own, where it is installed), and how much smaller its resident set is afterwards. With --hugetlb RAM is a memfd of huge
pages, which the host must have set aside; what is free of them afterwards is printed then.
"""

import argparse
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../tests/qtest"))
from client import PAGE, Driver, Memory, VirtioMmio, Vm, check  # noqa: E402

MIB = 1 << 20
FIRST = 64 * MIB  # below is the driver's memory
STEP = 16 * MIB
PER_REQUEST = 256
WINDOWS = range(0xfeb00000, 0xfeb03000, 0x200)
SETTLED = 10 * 10**9  # nanoseconds of virtual time


def page_numbers(order, mib):
    pages = list(range(FIRST // PAGE, (FIRST + mib * MIB) // PAGE))
    if order == "reversed":
        pages.reverse()
    elif order == "scattered":
        random.Random(1).shuffle(pages)
    return pages


def cpu(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def number(path, key):
    with open(path) as f:
        for line in f:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    return 0


def resident(pid, hugetlb):
    """MiB; of huge pages, those that are not free."""
    if hugetlb:
        total, free = (number("/proc/meminfo", f"HugePages_{key}") for key in ("Total", "Free"))
        return (total - free) * number("/proc/meminfo", "Hugepagesize") / 1024
    return number(f"/proc/{pid}/status", "VmRSS") / 1024


class Strace:
    def __init__(self, pid, work):
        self.path = os.path.join(work, "strace")
        self.process = subprocess.Popen(["strace", "-f", "-c", "-e", "trace=madvise,fallocate", "-o", self.path,
                                         "-p", str(pid)], stderr=subprocess.DEVNULL)
        time.sleep(1)

    def calls(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        with open(self.path) as f:
            rows = [line.split() for line in f]
        return sum(int(row[3]) for row in rows if row and row[-1] in ("madvise", "fallocate"))


class Aerostat(Vm):
    def settle(self):
        self.qtest.do(f"clock_step {SETTLED}")


class Qemu(Vm):
    """Debian's has no qtest accelerator; a machine whose processor never starts is as good."""

    extra = ["-machine", "accel=tcg", "-S"]

    def settle(self):
        pass


def find_balloon(qtest):
    for base in WINDOWS:
        if qtest.get(base, 4) == 0x74726976 and qtest.get(base + 8, 4) == 5:
            return VirtioMmio(qtest, base, 0)
    raise AssertionError("no balloon in a window")


def run(kind_of_vm, vmm, order, mib, hugetlb, work, count):
    """CPU seconds, calls (None: not counted), MiB before, MiB after."""
    kind = "memfd,hugetlb=on" if hugetlb else "ram"
    options = ["-nodefaults", "-m", str(mib + FIRST // MIB), "-M", "microvm,memory-backend=m0", "-object",
               f"memory-backend-{kind},id=m0,size={mib + FIRST // MIB}M", "-device", "virtio-balloon-device"]
    with kind_of_vm(vmm, "x86_64", work, options) as vm:
        pid, qtest = vm.process.pid, vm.qtest
        driver = Driver(find_balloon(qtest), Memory(MIB), wanted=3, queues=[0, 1, 2])
        for at in range(FIRST, FIRST + mib * MIB, STEP):
            qtest.do(f"memset {at:#x} {STEP:#x} 0x5a")
        before, pages = resident(pid, hugetlb), page_numbers(order, mib)
        strace, start = Strace(pid, work) if count else None, cpu(pid)
        for at in range(0, len(pages), PER_REQUEST):
            part = pages[at:at + PER_REQUEST]
            driver.send(0, struct.pack(f"<{len(part)}I", *part))
        vm.settle()
        used = cpu(pid) - start
        return used, strace.calls() if count else None, before, resident(pid, hugetlb)


def measure(kind_of_vm, vmm, order, args):
    with tempfile.TemporaryDirectory() as work:
        used, _, before, after = run(kind_of_vm, vmm, order, args.mib, args.hugetlb, work, False)
        calls = run(kind_of_vm, vmm, order, args.mib, args.hugetlb, work, True)[1] if shutil.which("strace") else None
    gib = args.mib / 1024
    count = "-" if calls is None else f"{calls / gib:.0f}"
    print(f"{order:10} {kind_of_vm.__name__.lower():9} {used / gib:10.2f} {count:>13} {before:12.0f} {before - after:10.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--mib", type=int, default=1024, help="memory that is given, a multiple of 16")
    parser.add_argument("--hugetlb", action="store_true", help="RAM in huge pages that the host has set aside")
    parser.add_argument("aerostat")
    parser.add_argument("qemu", nargs="?", default="qemu-system-x86_64")
    args = parser.parse_args()
    check(args.mib > 0 and args.mib % 16 == 0, "--mib: a multiple of 16")
    print(f"{'order':10} {'VMM':9} {'CPU s/GiB':>10} {'discards/GiB':>13} {'resident MiB':>12} {'freed MiB':>10}")
    for order in ("ordered", "reversed", "scattered"):
        measure(Aerostat, args.aerostat, order, args)
        measure(Qemu, shutil.which(args.qemu), order, args)


if __name__ == "__main__":
    main()
