#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""What a VM with a tiny guest and devices costs. x-query-memory-bill: what is accounted agrees with what /proc says is resident,
and each owner has its row. query-stats: KVM's own counts.

usage: cost-test.py VMM [sanitized]
"""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tinyguest import BRING_UP, HANG, elf, text  # noqa: E402

SKIP = 77
MIB = 1 << 20
TOUCHED = 8 * MIB
# cld; mov edi, 4M; mov ecx, TOUCHED / 4; mov eax, 1; rep stosd
TOUCH = b"\xfc\xbf" + struct.pack("<I", 4 * MIB) + b"\xb9" + struct.pack("<I", TOUCHED // 4) + b"\xb8\x01\0\0\0\xf3\xab"
DEVICES = ["-device", "virtio-rng,id=r0", "-device", "virtio-balloon,id=b0", "-object", "iothread,id=t0", "-blockdev",
           "null-co,node-name=n", "-device", "virtio-blk,drive=n,id=d0,iothread=t0,num-queues=4,queue-size=1024", "-netdev",
           "user,id=u", "-device", "virtio-net,netdev=u,id=n0", "-chardev", "ringbuf,id=rb,size=1M"]
failures = []


def check(what, good, got=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}\n{got}")


class Qmp:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect(path)
        self.f = self.s.makefile("rw")
        self.f.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.f.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.f.flush()
        while True:
            answer = json.loads(self.f.readline())
            if "event" not in answer:
                return answer["return"]


def resident(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return int(re.search(r"^Rss: +(\d+) kB", f.read(), re.MULTILINE)[1]) * 1024


def near(a, b):
    return abs(a - b) <= max(a, b) / 10


def bytes_of(bill, kind, owner=""):
    return sum(r["bytes"] for r in bill["rows"] if r["kind"] == kind and owner in r["owner"])


def rows(bill, ram):
    check("rows add up", sum(r["bytes"] for r in bill["rows"]) == bill["accounted"], bill)
    check("each row once", len({(r["kind"], r["owner"]) for r in bill["rows"]}) == len(bill["rows"]), bill["rows"])
    check("the largest first", [r["bytes"] for r in bill["rows"]] == sorted((r["bytes"] for r in bill["rows"]), reverse=True))
    check("nothing is empty", all(r["bytes"] > 0 for r in bill["rows"]), bill["rows"])
    check(f"guest RAM of {ram}", TOUCHED <= bytes_of(bill, "ram", ram) <= 64 * MIB, bill["rows"])
    for kind, owner, least in (("object", "/machine/peripheral/d0", 100), ("queue", "/machine/peripheral/d0", 1024),
                               ("buffer", "/machine/peripheral/d0", 1024 * 4 * 64), ("buffer", "/netdevs/u", 1),
                               ("ring", "/machine/peripheral/r0", 8 * 16), ("stack", "CPU 0/KVM", 4096), ("stack", "t0", 4096),
                               ("stack", "main", 4096), ("kernel", "kvm-vcpu", 4096), ("file", "libc", 65536),
                               ("heap", "in use by others", 4096)):
        check(f"{kind} of {owner}", bytes_of(bill, kind, owner) >= least, bill["rows"])


def kvm_stats(qmp):
    schemas = qmp.ask("query-stats-schemas")
    if not schemas:
        print("skipped: this KVM has no binary statistics")
        check("and no counts", qmp.ask("query-stats", target="vm") == [])
        return
    known = {s["target"]: {v["name"]: v for v in s["stats"]} for s in schemas}
    check("schemas of both", sorted(known) == ["vcpu", "vm"] and all(s["provider"] == "kvm" for s in schemas), schemas)
    check("exits are known", known["vcpu"]["exits"] == {"name": "exits", "type": "cumulative", "exponent": 0}, known["vcpu"])
    for target in known:
        answer = qmp.ask("query-stats", target=target)
        check(f"one entry of {target}", len(answer) == 1 and answer[0]["provider"] == "kvm" and
              answer[0].get("qom-path") == (None if target == "vm" else "/machine/accel/cpu[0]"), answer)
        check(f"all of {target}", {s["name"] for s in answer[0]["stats"]} == set(known[target]), answer)
        for s in answer[0]["stats"]:
            kind = known[target][s["name"]]
            wanted = list if "histogram" in kind["type"] else bool if kind.get("unit") == "boolean" else int
            check(f"{target} {s['name']} is a {wanted.__name__}", type(s["value"]) is wanted, s)
    answer = qmp.ask("query-stats", target="vcpu", vcpus=["/machine/accel/cpu[0]"],
                     providers=[{"provider": "kvm", "names": ["exits", "nonesuch"]}])
    check("one by its name", [s["name"] for s in answer[0]["stats"]] == ["exits"] and answer[0]["stats"][0]["value"] > 0, answer)
    shown = qmp.ask("human-monitor-command", **{"command-line": "info stats vcpu exits"})
    check("info stats", re.fullmatch(r"provider: kvm\r\n    exits \(cumulative\): \d+\r\n", shown), shown)


def running(vmm, name, sanitized, *words, ram="/machine"):
    with open("guest", "wb") as f:
        f.write(elf(TOUCH + BRING_UP + text(b"up\n") + HANG))
    p = subprocess.Popen([vmm, "-nodefaults", "-M", "microvm", "-m", "64", "-kernel", "guest", "-serial", "stdio", "-qmp",
                          "unix:qmp,server=on,wait=off", *DEVICES, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        check(f"{name}: the guest is up", p.stdout.readline() == "up\n")
        qmp = Qmp("qmp")
        qmp.ask("x-query-memory-bill")  # its own answer makes memory resident
        bill = qmp.ask("x-query-memory-bill")
        now = resident(p.pid)
        what = f"resident {now}, bill {json.dumps(bill, indent=1)}"
        check(f"{name}: the same is resident", near(bill["resident"], now), what)
        check(f"{name}: all is in it", bill["accounted"] + bill["unaccounted"] == bill["resident"], what)
        if not sanitized:
            check(f"{name}: accounted within 10 %", near(bill["accounted"], now), what)
            check(f"{name}: unaccounted below 10 %", bill["unaccounted"] < now / 10, what)
            rows(bill, ram)
        shown = qmp.ask("human-monitor-command", **{"command-line": "info memory-bill"})
        for line in (r"^resident: \d+ KiB", r"^unaccounted: \d+ KiB", rf"^ +\d+\.\d KiB  ram      {ram}",
                     r"^ +\d+\.\d KiB  object   /machine/peripheral/d0"):
            check(f"{name}: info memory-bill has {line}", re.search(line, shown, re.MULTILINE), shown)
        kvm_stats(qmp)
        qmp.ask("quit")
        _, err = p.communicate(timeout=60)
        check(f"{name}: it ends well", p.returncode == 0 and not err, err)
    finally:
        p.kill()
        p.wait()


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__.splitlines()[-2], file=sys.stderr)
        return 2
    vmm, sanitized = os.path.abspath(sys.argv[1]), len(sys.argv) == 3
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as e:
        print(f"skipped: /dev/kvm: {e.strerror}")
        return SKIP
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        running(vmm, "anonymous RAM", sanitized)
        running(vmm, "a memory backend", sanitized, "-object", "memory-backend-memfd,id=m0,size=64M", "-M", "memory-backend=m0",
                ram="/objects/m0")
        os.chdir("/")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
