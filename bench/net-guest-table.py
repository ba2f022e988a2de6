#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Makes a Markdown table of what bench/net-run printed: medians, and Aerostat's share of QEMU's with its range.

One ratio is of two neighbours, Aerostat's run and the QEMU's next to it. CPU time and exits are those of a MB, or of a
round trip.
"""

import collections
import statistics
import sys

COLUMNS = {"rate": ",.1f", "host CPU us": ",.0f", "without the guest": ",.0f", "outside the vCPU": ",.0f", "exits": ".1f",
           "round trip us": ",.0f"}
LOADS = {"to-guest": "to the guest, MB/s", "to-host": "to the host, MB/s", "ping": "pings/s"}


def ratio(ours, theirs):
    each = [a / b for a, b in zip(ours, theirs) if b]
    if not each:
        return ""
    text = f"{statistics.median(each):.2f}"
    return text if len(each) < 2 else f"{text} ({min(each):.2f} to {max(each):.2f})"


def main():
    cases = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(sys.argv[1]) as f:
        for line in f:
            name, load, *numbers = line.split()
            amount, ns, cpu, vcpu, guest, exits, median = map(float, numbers)
            n = amount if load == "ping" else amount / 1e6
            cases[load][name].append((n / ns * 1e9, cpu / 1e3 / n, (cpu - guest) / 1e3 / n, (cpu - vcpu) / 1e3 / n,
                                      exits / n, median / 1e3))
    print("| load | " + " | ".join(f"{c} | of QEMU's" for c in COLUMNS) + " |")
    print("|---|" + "---:|---:|" * len(COLUMNS))
    for load, both in cases.items():
        ours, theirs = (list(zip(*both[v])) for v in ("aerostat", "qemu"))
        cells = [LOADS[load]]
        for mine, other, form in zip(ours, theirs, COLUMNS.values()):
            middle = statistics.median(mine)
            cells += [format(middle, form) if middle else "", ratio(mine, other)]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
