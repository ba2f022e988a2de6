# SPDX-License-Identifier: BSD-2-Clause
"""Tiny guests of machine microvm, in 32-bit code put together here."""

import struct

ENTRY = 1 << 20
WINDOW = 0xfeb00000  # the first virtio-mmio window


def out(port, byte):
    return b"\x66\xba" + struct.pack("<H", port) + b"\xb0" + bytes([byte]) + b"\xee"


def text(line):
    return b"".join(out(0x3f8, b) for b in line)


def store(off, value):
    return b"\xc7\x05" + struct.pack("<II", WINDOW + off, value)


HANG = b"\xfa\xf4\xeb\xfc"
TRIPLE = b"\x0f\x01\x1d" + struct.pack("<I", ENTRY - 4096) + b"\x0f\x0b" + HANG  # lidt of zeroes, ud2
DEBUG_EXIT = out(0x501, 1) + HANG
# Status, features (VERSION_1 alone), one queue of 8 entries at 2 MiB, DRIVER_OK, a kick (VIRTIO 1.4 §4.2.2, §3.1.1).
BRING_UP = b"".join(store(*s) for s in (
    (0x70, 0), (0x70, 1), (0x70, 3), (0x24, 1), (0x20, 1), (0x24, 0), (0x20, 0), (0x70, 11), (0x30, 0), (0x38, 8),
    (0x80, 0x200000), (0x84, 0), (0x90, 0x201000), (0x94, 0), (0xa0, 0x202000), (0xa4, 0), (0x44, 1), (0x70, 15), (0x50, 0),
    (0x50, 0)))


def elf(code):
    """A kernel with a PVH entry (32-bit protected mode) that is this code."""
    note = struct.pack("<III4sI4x", 4, 8, 18, b"Xen\0", ENTRY)
    header = 64 + 2 * 56
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    head = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, ENTRY, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 5, header, ENTRY, ENTRY, len(code), 65536, 1)
    head += struct.pack("<IIQQQQQQ", 4, 4, header + len(code), 0, 0, len(note), len(note), 4)
    return head + code + note
