#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the seeds of a fuzz target from their sources: tests/fuzz/seeds.py SOURCES DESTINATION

A source is a text file NAME.txt; the seed is the bytes that its words stand for:
    2a ff           bytes in hex
    "text\\n\\0"      text, with \\n \\r \\t \\0 \\" \\\\ and \\xNN
    u16:300 u32:0x80000000 u64:-1       little-endian numbers
    kick            what the file `words` beside it says: lines NAME = WORDS
    # to the end of the line: a comment
"""
import re
import sys
from pathlib import Path

TOKEN = re.compile(r'\s*(?:#.*|("(?:[^"\\]|\\.)*")|(\S+))')
ESCAPES = {'n': b'\n', 'r': b'\r', 't': b'\t', '0': b'\0', '"': b'"', '\\': b'\\'}


def text(quoted):
    def one(match):
        what = match.group(1)
        return ESCAPES[what] if what in ESCAPES else bytes([int(what[1:], 16)])

    out, at = b'', 0
    for match in re.finditer(r'\\(x[0-9a-f]{2}|.)', quoted):
        out += quoted[at:match.start()].encode() + one(match)
        at = match.end()
    return out + quoted[at:].encode()


def word(token, words):
    if token in words:
        return words[token]
    number = re.fullmatch(r'u(16|32|64):(-?\w+)', token)
    if number:
        bits = int(number.group(1))
        return (int(number.group(2), 0) % (1 << bits)).to_bytes(bits // 8, 'little')
    return bytes.fromhex(token)


def line_bytes(line, words):
    out = b''
    for match in TOKEN.finditer(line):
        quoted, token = match.groups()
        if quoted is not None:
            out += text(quoted[1:-1])
        elif token is not None:
            out += word(token, words)
    return out


def read_lines(path, words, use):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            use(line, words)
        except (ValueError, KeyError) as why:
            sys.exit(f'{path}:{number}: {why}')


def read_words(path):
    words = {}

    def define(line, known):
        if '=' in line and not line.startswith('#'):
            name, _, value = line.partition('=')
            known[name.strip()] = line_bytes(value, known)

    if path.exists():
        read_lines(path, words, define)
    return words


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sources, destination = Path(sys.argv[1]), Path(sys.argv[2])
    words = read_words(sources / 'words')
    destination.mkdir(parents=True, exist_ok=True)
    for path in sorted(sources.glob('*.txt')):
        seed = []
        read_lines(path, words, lambda line, known: seed.append(line_bytes(line, known)))
        (destination / path.stem).write_bytes(b''.join(seed))


main()
