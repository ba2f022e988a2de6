#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Makes a Markdown table of what bench/balloon-run printed: medians, and Aerostat's share of QEMU's."""

import collections
import statistics
import sys


def main():
    cases = collections.defaultdict(list)
    with open(sys.argv[1]) as f:
        for line in f:
            vmm, step, ms, cpu, guest, grown = line.split()
            cases[step, vmm].append((float(ms), float(cpu) / 1000, (float(cpu) - float(guest)) / 1000, float(grown)))
    missing = {"aerostat", "qemu"} - {vmm for _, vmm in cases}
    if missing:
        sys.exit(f"no figures of {' and '.join(missing)} yet")
    print("| step | time ms | QEMU | ratio | CPU ms | QEMU | ratio | of the VMM | QEMU | ratio | resident MiB | QEMU |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for step in ("take", "back", "use"):
        ours, theirs = ([statistics.median(column) for column in zip(*cases[step, v])] for v in ("aerostat", "qemu"))
        cells = "".join(f" {a:,.0f} | {b:,.0f} | {a / b if b else 0:.2f} |" for a, b in list(zip(ours, theirs))[:3])
        print(f"| {step} |{cells} {ours[3]:+.0f} | {theirs[3]:+.0f} |")


if __name__ == "__main__":
    main()
