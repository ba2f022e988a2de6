#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Makes a Markdown table of what bench/blk-run printed: medians, and Aerostat's share of QEMU's with its range.

One ratio is of two neighbours, Aerostat's run and the QEMU's next to it.
"""

import collections
import statistics
import sys

COLUMNS = {"requests/s": ",.0f", "host CPU us": ",.1f", "without the guest": ",.1f", "outside the vCPU": ",.1f",
           "exits": ".2f"}


def ratio(ours, theirs):
    each = [a / b for a, b in zip(ours, theirs)]
    text = f"{statistics.median(each):.2f}"
    return text if len(each) < 2 else f"{text} ({min(each):.2f} to {max(each):.2f})"


def main():
    cases = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(sys.argv[1]) as f:
        for line in f:
            name, op, depth, *numbers = line.split()
            rate, ns, cpu, vcpu, guest, exits = map(float, numbers)
            vmm, medium = name.split("/")
            n = rate * ns / 1e9
            cases[medium, op, depth][vmm].append(
                (rate, cpu / 1e3 / n, (cpu - guest) / 1e3 / n, (cpu - vcpu) / 1e3 / n, exits / n))
    print("| disk | op | depth | " + " | ".join(f"{c} | of QEMU's" for c in COLUMNS) + " |")
    print("|---|---|---:|" + "---:|---:|" * len(COLUMNS))
    for case, both in cases.items():
        ours, theirs = (list(zip(*both[v])) for v in ("aerostat", "qemu"))
        cells = list(case)
        for mine, other, form in zip(ours, theirs, COLUMNS.values()):
            cells += [format(statistics.median(mine), form), ratio(mine, other)]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
