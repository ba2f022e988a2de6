#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Makes a Markdown table of what bench/blk-run printed: medians, and Aerostat's share of QEMU's."""

import collections
import statistics
import sys

TICK_US = 10_000


def main():
    cases = collections.defaultdict(list)
    with open(sys.argv[1]) as f:
        for line in f:
            name, op, depth, requests, ns, own, _, exits = line.split()
            vmm, medium = name.split("/")
            n = int(requests)
            cases[medium, op, int(depth), vmm].append((n / int(ns) * 1e9, int(own) * TICK_US / n, int(exits) / n))
    print("| disk | op | depth | requests/s | QEMU | ratio | CPU us/request | QEMU | ratio | exits/request | QEMU |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for medium, op, depth, vmm in cases:
        if vmm != "aerostat" or (medium, op, depth, "qemu") not in cases:
            continue
        ours, theirs = ([statistics.median(column) for column in zip(*cases[medium, op, depth, v])]
                        for v in ("aerostat", "qemu"))
        print(f"| {medium} | {op} | {depth} | {ours[0]:,.0f} | {theirs[0]:,.0f} | {ours[0] / theirs[0]:.2f} "
              f"| {ours[1]:.1f} | {theirs[1]:.1f} | {ours[1] / theirs[1]:.2f} | {ours[2]:.2f} | {theirs[2]:.2f} |")


if __name__ == "__main__":
    main()
