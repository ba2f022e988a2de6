#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""What a packet costs in virtio-net and its backend, as a Markdown table.

bench-net tells packets per second, ns and allocations of each case; the same case under callgrind tells the
instructions of its measured part alone.

    bench/net-table.py build/release/bench/bench-net
"""

import argparse
import re
import subprocess
import tempfile


def instructions(bench, case, n):
    with tempfile.NamedTemporaryFile() as out:
        text = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}",
                               "--toggle-collect=bench_round", bench, *case, str(n)], check=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True).stderr
    return int(re.search(r"Collected : (\d+)", text)[1]) / n


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("bench", help="the program bench-net")
    p.add_argument("-n", type=int, default=32000, help="packets of a case under callgrind, a multiple of 32")
    o = p.parse_args()
    lines = subprocess.run([o.bench], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    print("| op | backend | bytes | packets/s | ns | instructions | allocations |\n|---|---|---:|---:|---:|---:|---:|")
    for line in lines[1:]:
        op, backend, size, rate, ns, allocations = line.split()
        count = instructions(o.bench, (op, backend, size), o.n)
        print(f"| {op} | {backend} | {size} | {int(rate):,} | {ns} | {count:.0f} | {allocations} |", flush=True)


if __name__ == "__main__":
    main()
