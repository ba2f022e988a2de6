#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Compares the code in a document with the files that it is quoted from.

usage: doc-test.py DOCUMENT TOP
A line <!-- path/of/a/file --> before a code block says where it comes from, below the folder TOP: the block's lines must be
there, one after the other. A block that begins with three backticks and has no such line is an error.
"""

import os
import re
import sys


def blocks(lines):
    """(number of the first line, source or None, lines of the block) for each fenced block."""
    source, block = None, None
    for number, line in enumerate(lines, 1):
        if block is not None:
            if line.startswith("```"):
                yield first, source, block
                source, block = None, None
            else:
                block.append(line)
        elif line.startswith("```"):
            first, block = number, []
        elif m := re.fullmatch(r"<!-- (\S+) -->", line):
            source = m[1]
        elif line:
            source = None
    if block is not None:
        yield first, source, None


def problem(source, block, top):
    if block is None:
        return "the block has no end"
    if not source:
        return "no <!-- file --> before the block"
    try:
        with open(os.path.join(top, source), encoding="utf-8") as f:
            text = f.read().splitlines()
    except OSError as e:
        return f"{source}: {e.strerror}"
    if any(text[i:i + len(block)] == block for i in range(len(text))):
        return None
    missing = [line for line in block if line not in text]
    return f"{source} has no such lines" + (f": {missing[0]!r}" if missing else " in this order")


def main():
    if len(sys.argv) != 3:
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    document, top = sys.argv[1:]
    with open(document, encoding="utf-8") as f:
        found = list(blocks(f.read().splitlines()))
    bad = 0
    for first, source, block in found:
        if why := problem(source, block, top):
            bad += 1
            print(f"{document}:{first}: {why}")
    print(f"{len(found) - bad} of {len(found)} blocks as in their files")
    return 1 if bad or not found else 0


if __name__ == "__main__":
    sys.exit(main())
