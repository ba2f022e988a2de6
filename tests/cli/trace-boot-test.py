#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""-trace-boot, with tiny guests that print, bring up a device and kick it, and end in several ways.

usage: trace-boot-test.py VMM
"""

import json
import os
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from tinyguest import BRING_UP, DEBUG_EXIT, ENTRY, HANG, TRIPLE, elf, text  # noqa: E402

SKIP = 77
failures = []


def check(what, good, got=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}\n{got}")


def start(vmm, code, *words):
    with open("guest", "wb") as f:
        f.write(elf(code))
    return subprocess.Popen([vmm, "-nodefaults", "-M", "microvm", "-m", "64", "-kernel", "guest", *words],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(vmm, code, *words):
    p = start(vmm, code, *words)
    _, err = p.communicate(timeout=60)
    return p.returncode, err


def load():
    with open("boot.json", encoding="utf-8") as f:
        return json.load(f)


def names(trace):
    return [e["name"] for e in trace["traceEvents"] if e["ph"] != "M"]


def well_formed(what, trace):
    """What a viewer of Chrome's trace events asks for."""
    known = {e["tid"] for e in trace["traceEvents"] if e["ph"] == "M" and e["name"] == "thread_name"}
    for e in trace["traceEvents"]:
        good = isinstance(e["name"], str) and isinstance(e["pid"], int) and e["tid"] in known
        if e["ph"] != "M":
            good = good and e["ts"] >= 0 and (e["ph"] == "i" and e["s"] == "p" or e["ph"] == "X" and e["dur"] >= 0)
        check(f"{what}: an event", good, e)
    times = [e["ts"] for e in trace["traceEvents"] if e["ph"] != "M"]
    check(f"{what}: in order", times == sorted(times), times)


def in_order(what, have, wanted):
    places = [have.index(w) if w in have else -1 for w in wanted]
    check(f"{what}: {wanted}", -1 not in places and places == sorted(places), have)


def whole_boot(vmm):
    status, err = run(vmm, text(b"[    0.0] kernel\nhello from init\nmore\n") + BRING_UP + DEBUG_EXIT, "-trace-boot", "boot.json",
                      "-device", "virtio-rng,id=r0", "-device", "isa-debug-exit", "-serial", "null", "-global",
                      "virtio-mmio.ioeventfd=off")
    check("the guest ends itself", status == 3, err)
    trace = load()
    have = names(trace)
    well_formed("a whole boot", trace)
    in_order("a whole boot", have, ["exec", "machine microvm", "realize virtio-rng-device r0", "load the kernel",
                                    "first KVM_RUN of vCPU 0", "kernel entry", "first exit", "init line",
                                    "DRIVER_OK of virtio-rng-device r0", "first kick served by virtio-rng-device r0"])
    check("each once", len(set(have)) == len(have), have)
    at = {e["name"]: e for e in trace["traceEvents"]}
    check("the line", at["init line"]["args"]["detail"] == "hello from init", at["init line"])
    check("the entry", at["kernel entry"]["args"]["detail"] == f"rip 0x{ENTRY:x}", at["kernel entry"])
    exits = trace["otherData"]["exits"]
    serial, device = exits.get("isa-serial serial0"), [v for k, v in exits.items() if k.startswith("virtio-mmio ")]
    check("exits of the serial port", serial == {"reads": 0, "writes": 38}, exits)
    check("exits of the device", device == [{"reads": 0, "writes": 20}], exits)
    check("exits of the end", [v["writes"] for k, v in exits.items() if k.startswith("isa-debug-exit")] == [1], exits)
    for line in ("init line: hello from init", "exits by device", "kernel entry: rip 0x100000"):
        check(f"the summary has {line!r}", line in err, err)


def marker(vmm):
    run(vmm, text(b"hello\n[ 1.0] Run /sbin/init\nno newline") + DEBUG_EXIT, "-trace-boot", "boot.json,init=Run /sbin", "-device",
        "isa-debug-exit", "-serial", "null")
    lines = [e["args"]["detail"] for e in load()["traceEvents"] if e["name"] == "init line"]
    check("init=TEXT", lines == ["[ 1.0] Run /sbin/init"], lines)


def endings(vmm):
    status, err = run(vmm, text(b"x\n") + TRIPLE, "-trace-boot", "boot.json", "-no-reboot", "-serial", "null")
    check("a crash", status == 0 and names(load())[-1] == "shutdown", (status, err))
    p = start(vmm, text(b"x\n") + HANG, "-trace-boot", "boot.json", "-serial", "stdio")
    p.stdout.readline()
    p.send_signal(signal.SIGTERM)
    _, err = p.communicate(timeout=60)
    check("a signal", p.returncode == 0 and "init line" in names(load()), err)
    p = start(vmm, text(b"x\n") + HANG, "-trace-boot", "boot.json", "-serial", "stdio", "-qmp", "unix:qmp,server=on,wait=off")
    p.stdout.readline()
    import socket
    s = socket.socket(socket.AF_UNIX)
    s.connect("qmp")
    s.sendall(b'{"execute": "qmp_capabilities"} {"execute": "quit"}')
    _, err = p.communicate(timeout=60)
    s.close()
    last = [e for e in load()["traceEvents"] if e["name"] == "shutdown"]
    check("quit", p.returncode == 0 and last and last[0]["args"]["detail"] == "host-qmp-quit", err)


def errors(vmm):
    for arg, error in (("missing/x.json", "cannot open: No such file or directory"), (".", "cannot open: Is a directory"),
                       ("init=x", "give a file, such as boot.json"), ("x.json,inti=x", "unknown 'inti'; known: file, init")):
        status, err = run(vmm, HANG, "-trace-boot", arg, "-serial", "null")
        check(arg, status == 1 and err == f"aerostat: error: -trace-boot {arg}: {error}\n", err)
    status, err = run(vmm, HANG, "-trace-boot", "a.json", "-trace-boot", "b.json")
    check("twice", status == 1 and err == "aerostat: error: -trace-boot b.json: it is written to a.json already\n", err)
    status, err = run(vmm, HANG, "-check", "-trace-boot", "made.json", "-accel", "qtest")
    check("-check makes no file", status == 0 and not err and not os.path.exists("made.json"), err)
    status, err = run(vmm, HANG, "-trace-boot", "a.json", "-device", "foo")
    check("a bad option has its one line", status == 1 and err.count("\n") == 1, err)
    status, err = run(vmm, DEBUG_EXIT, "-trace-boot", "/dev/full", "-device", "isa-debug-exit", "-serial", "null")
    check("a full disk is told", status == 1 and
          "aerostat: error: -trace-boot /dev/full: cannot write: No space left on device\n" in err, (status, err))


def main():
    if len(sys.argv) != 2:
        print(__doc__.splitlines()[-2], file=sys.stderr)
        return 2
    vmm = os.path.abspath(sys.argv[1])
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as e:
        print(f"skipped: /dev/kvm: {e.strerror}")
        return SKIP
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        whole_boot(vmm)
        marker(vmm)
        endings(vmm)
        errors(vmm)
        os.chdir("/")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
