#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Takes the uncompressed ELF kernel out of a bzImage."""

import gzip
import bz2
import lzma
import struct
import subprocess
import sys


def tool(*command):
    def run(data):
        # The kernel appends the size, which these tools call trailing garbage: judge by what they wrote.
        return subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return run


FORMATS = (
    (b"\x7fELF", lambda d: d),
    (b"\x1f\x8b", gzip.decompress),
    (b"BZh", bz2.decompress),
    (b"\xfd7zXZ\0", lzma.decompress),
    (b"\x5d\0\0\0", lzma.decompress),
    (b"\x02\x21\x4c\x18", tool("lz4", "-d", "-c")),
    (b"\x28\xb5\x2f\xfd", tool("zstd", "-d", "-c")),
    (b"\x89LZO", tool("lzop", "-d", "-c")),
)


def unpack(data, size):
    for magic, decompress in FORMATS:
        if data.startswith(magic):
            try:
                out = decompress(data)
            except FileNotFoundError as e:
                sys.exit(f"extract-vmlinux: {e.filename} is not installed")
            if out[:4] == b"\x7fELF" and len(out) >= size:
                return out[:size] if size else out
            return None
    return None


def extract(image):
    """Boot protocol 2.08: offset 0x248 and 0x24c give the payload; its last four bytes are the unpacked size."""
    if image[0x202:0x206] != b"HdrS":
        sys.exit("extract-vmlinux: not a bzImage")
    setup = (image[0x1F1] or 4) + 1
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[setup * 512 + offset:][:length]
    size = struct.unpack("<I", payload[-4:])[0]
    if payload.startswith(b"\x1f\x8b"):
        return unpack(payload, 0)
    return unpack(payload[:-4], size) or unpack(payload, 0)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: extract-vmlinux.py BZIMAGE VMLINUX")
    with open(sys.argv[1], "rb") as f:
        elf = extract(f.read())
    if elf is None:
        sys.exit(f"extract-vmlinux: {sys.argv[1]}: no ELF kernel found in it")
    with open(sys.argv[2], "wb") as f:
        f.write(elf)


if __name__ == "__main__":
    main()
