#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""What a 4 KiB request of virtio-blk costs in instructions and system calls, as a Markdown table.

Each case of bench-blk runs twice, under callgrind or strace, with N and with 2 N requests; the difference is N requests
without start and end. The driver's part (adding requests and taking answers, written in C in tests/driver) is measured by
callgrind as functions of its own and taken off.

    bench/blk-table.py build/release/bench/bench-blk [--file FILE]
"""

import argparse
import re
import subprocess
import sys
import tempfile

# Inclusive cost of what plays the guest.
DRIVER = ("offer", "fake_driver_get")


def callgrind(args):
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out.name}", *args], check=True,
                       stdout=subprocess.DEVNULL)
        text = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", out.name], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
    total = int(re.search(r"^\s*([\d,]+)[^\n]*PROGRAM TOTALS", text, re.M)[1].replace(",", ""))
    for name in DRIVER:
        found = re.search(rf"^\s*([\d,]+)[^\n]*[:\s]{name}(?:\s|$)", text, re.M)
        if not found:
            sys.exit(f"blk-table: callgrind does not tell of {name}()")
        total -= int(found[1].replace(",", ""))
    return total


def strace(args):
    with tempfile.NamedTemporaryFile("r") as out:
        subprocess.run(["strace", "-f", "-c", "-o", out.name, *args], check=True, stdout=subprocess.DEVNULL)
        return int(re.search(r"(\d+)(?:\s+\d+)? total", out.read())[1])


def per_request(measure, bench, case, n, file):
    once, twice = (measure([bench, *case, str(k), *file]) for k in (n, 2 * n))
    return (twice - once) / n


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("bench", help="the program bench-blk")
    p.add_argument("--file", help="image for the cases cached and direct")
    p.add_argument("-n", type=int, default=20000, help="requests")
    o = p.parse_args()
    print("| node | op | depth | instructions | system calls |\n|---|---|---:|---:|---:|")
    for node in ("null", "cached", "direct"):
        for op in ("read", "write"):
            for depth in ("1", "32", "128"):
                file = [o.file] if o.file else []
                calls = per_request(strace, o.bench, (node, op, depth), o.n, file)
                instructions = f"{per_request(callgrind, o.bench, (node, op, depth), o.n, file):.0f}"
                print(f"| {node} | {op} | {depth} | {instructions} | {calls:.2f} |", flush=True)


if __name__ == "__main__":
    main()
