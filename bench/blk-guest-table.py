#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Makes a Markdown table of what bench/blk-run printed: medians, and Aerostat's share of QEMU's with its range.

One ratio is of two neighbours, Aerostat's run and the QEMU's next to it.
"""

import collections
import statistics
import sys

TICK_US = 10_000


def ratio(ours, theirs):
    each = [a / b for a, b in zip(ours, theirs)]
    text = f"{statistics.median(each):.2f}"
    return text if len(each) < 2 else f"{text} ({min(each):.2f} to {max(each):.2f})"


def main():
    cases = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(sys.argv[1]) as f:
        for line in f:
            name, op, depth, rate, ns, ticks, guest, vcpu, exits = line.split()
            vmm, medium = name.split("/")
            n = float(rate) * int(ns) / 1e9
            columns = cases[medium, op, int(depth)][vmm]
            columns.append((float(rate), (int(ticks) - int(guest)) * TICK_US / n,
                            (int(ticks) * TICK_US - int(vcpu) / 1e3) / n, int(exits) / n))
    print("| disk | op | depth | requests/s | QEMU | ratio | CPU us/request | QEMU | ratio | of it outside the vCPU "
          "| QEMU | ratio | exits/request | QEMU |")
    print("|---|---|---:|" + "---:|" * 11)
    for (medium, op, depth), both in cases.items():
        ours, theirs = ([list(c) for c in zip(*both[v])] for v in ("aerostat", "qemu"))
        cells = [medium, op, str(depth)]
        for i, form in enumerate((",.0f", ".1f", ".1f", ".2f")):
            cells += [format(statistics.median(v[i]), form) for v in (ours, theirs)]
            if i < 3:
                cells.append(ratio(ours[i], theirs[i]))
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
