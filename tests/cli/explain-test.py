#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""-explain, for every device type that there is: queues, features and fields are there, and each place in the source that is
printed has the function that it is said to have.

usage: explain-test.py VMM TOP
"""

import os
import re
import subprocess
import sys

# Of each virtio device: the handlers of its queues in order, some of its features and fields, and the specification's section.
EXPECTED = {
    "blk": (["virtio_blk_handle_output"], ["VIRTIO_BLK_F_FLUSH", "VIRTIO_BLK_F_SEG_MAX"], ["capacity", "num_queues"], "5.2"),
    "net": (["virtio_net_handle_output"] * 3, ["VIRTIO_NET_F_MAC", "VIRTIO_NET_F_CTRL_VQ"], ["mac", "status"], "5.1"),
    "balloon": (["virtio_balloon_handle_output"] * 2 + ["balloon_handle_stats"], ["VIRTIO_BALLOON_F_STATS_VQ"],
                ["num_pages", "actual"], "5.5"),
    "rng": (["virtio_rng_handle_output"], [], [], "5.4"),
    "serial": (["virtio_serial_handle_input", "virtio_serial_handle_output", "virtio_serial_handle_control_in",
                "virtio_serial_handle_control"] + ["virtio_serial_handle_input", "virtio_serial_handle_output"] * 30,
               ["VIRTIO_CONSOLE_F_MULTIPORT"], ["max_nr_ports"], "5.3"),
}
STEPS = ["virtio_queue_notify", "virtio_queue_serve", "virtqueue_pop", "split_pop", "virtqueue_push", "split_push",
         "virtio_notify", "split_should_notify"]
failures = []


def check(what, good, got=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}\n{got}")


def run(vmm, *words):
    return subprocess.run([vmm, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60)


def section(text, title):
    m = re.search(rf"\n{title}[^\n]*\n(.*?)(?:\n\n|\Z)", text, re.DOTALL)
    return m[1] if m else ""


def places(what, text, top):
    """The functions named, each of which stands where it is said to."""
    found = re.findall(r"(\w+) \(([\w./-]+):(\d+)\)", text)
    for name, path, line in found:
        try:
            with open(os.path.join(top, path), encoding="utf-8") as f:
                lines = f.read().splitlines()
        except OSError as e:
            check(f"{what}: {path}", False, e)
            continue
        near = lines[max(0, int(line) - 6):int(line)]
        check(f"{what}: {name} is at {path}:{line}", name in near[-1] and any(f"{name}(" in l and "CODE_PLACE" not in l
              for l in near), "\n".join(near))
    check(f"{what}: nothing without a place", "without CODE_PLACE" not in text, text)
    return [name for name, _, _ in found]


def virtio(vmm, name, kind, top):
    got = run(vmm, "-explain", name)
    text = got.stdout
    handlers, features, fields, clause = EXPECTED[kind]
    check(f"{name}: exit status", got.returncode == 0, got.stderr)
    check(f"{name}: types", f"virtio-{kind}-device -> virtio-device -> device -> object" in section(text, "Types"), text)
    check(f"{name}: properties", "indirect_desc=<bool>" in section(text, "Properties") and "(default: on)" in text, text)
    check(f"{name}: queues", places(name, section(text, "Queues"), top) == handlers, section(text, "Queues"))
    offered = section(text, "Features")
    for feature in ["VIRTIO_F_VERSION_1", "VIRTIO_RING_F_EVENT_IDX", *features]:
        check(f"{name}: {feature}", re.search(rf"^ +\d+  {feature}: .* \(§[\d.]+\)$", offered, re.MULTILINE), offered)
    check(f"{name}: every feature is known", "of the device's own" not in offered, offered)
    for field in fields:
        check(f"{name}: field {field}", re.search(rf"^  0x[0-9a-f]+  \d  {field} +now ", section(text, "Configuration space"),
                                                  re.MULTILINE), text)
    for part in (f"Queues (VIRTIO 1.4 §{clause}.2)", f"(VIRTIO 1.4 §{clause}.4)"):
        check(f"{name}: {part}", part in text, text)
    way = places(name, section(text, "The path of a kick"), top)
    transport = "virtio_mmio_notify" if name.endswith("-device") else "virtio_pci_notify"
    check(f"{name}: the path of a kick", all(step in way for step in [*STEPS, handlers[0], transport]), way)


def main():
    if len(sys.argv) != 3:
        print(__doc__.splitlines()[-2], file=sys.stderr)
        return 2
    vmm, top = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    names = re.findall(r'^name "([^"]+)"', run(vmm, "-device", "help").stdout, re.MULTILINE)
    check("there are devices", len(names) > 10, names)
    for name in names:
        if m := re.fullmatch(r"virtio-(\w+)-(device|pci(-(non-)?transitional)?)", name):
            check(f"{name} is expected", m[1] in EXPECTED, EXPECTED)
            virtio(vmm, name, m[1], top)
            continue
        got = run(vmm, "-explain", name)
        check(name, got.returncode == 0 and f"\n  {name} -> " in got.stdout and "\nPlace\n" in got.stdout, got.stdout + got.stderr)
    for kind in EXPECTED:
        virtio(vmm, f"virtio-{kind}", kind, top)
    text = run(vmm, "-explain", "virtio-rng,packed=on,vectors=0").stdout
    way = places("packed rings", section(text, "The path of a kick"), top)
    check("packed rings", "packed_pop" in way and "msix_notify" not in way and "VIRTIO_F_RING_PACKED" in text, text)
    got = run(vmm, "-M", "microvm", "-explain", "virtio-rng")
    check("an alias is the machine's", "on virtio-mmio-bus.0" in got.stdout, got.stdout + got.stderr)
    got = run(vmm, "-explain", "mc146818rtc")
    check("the board's own", "/machine/cmos" in got.stdout, got.stdout + got.stderr)
    for words, error in ((["virtio-baloon"], "unknown device 'virtio-baloon'; did you mean 'virtio-balloon'?"),
                         (["nonsense"], "unknown device 'nonsense'; '-device help' lists all"),
                         (["virtio-pci"], "'virtio-pci' is an abstract type; '-device help' lists all"),
                         (["iothread"], "unknown device 'iothread'; '-device help' lists all")):
        got = run(vmm, "-explain", *words)
        check(f"-explain {words[0]}", got.returncode == 1 and not got.stdout and
              got.stderr == f"aerostat: error: -explain {words[0]}: {error}\n", got.stdout + got.stderr)
    check("-explain help", run(vmm, "-explain", "help").stdout == run(vmm, "-device", "help").stdout)
    check("-explain TYPE,help", run(vmm, "-explain", "virtio-rng,help").stdout == run(vmm, "-device", "virtio-rng,help").stdout)
    for words, error in ((["-explain"], "-explain: needs an argument: TYPE[,prop=value...]"),
                         (["-explain", "id=x"], "-explain id=x: give a device; '-device help' lists all"),
                         (["-dump-tree"], "-dump-tree: needs an argument: dot"),
                         (["-dump-tree", "svg"], "-dump-tree svg: the only format is dot")):
        got = run(vmm, "-accel", "qtest", *words)  # which would run for ever
        check(f"{words} starts nothing", got.returncode == 1 and got.stderr == f"aerostat: error: {error}\n", got.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
