#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Runs a guest test that gives a capture on its stdout, and looks at that with tshark, where it is installed.

usage: pcap-check.py COMMAND [ARG]...
The capture is in a line "PCAP FRAMES BASE64". It must have that many frames at least, ARP, ICMP and TCP among them, none
malformed, no wrong IPv4 header checksum, and from both ends some that are larger than a segment: segmentation was left to
the card. Without tshark only the records and the IPv4 headers are looked at. The exit status is COMMAND's, or 1.
"""

import base64
import shutil
import struct
import subprocess
import sys
import tempfile

SEGMENT = 1514  # with its Ethernet header


def run(command):
    """(status, at least so many frames, capture); all else of its output is passed on."""
    frames, data = 0, b""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:
        for line in child.stdout:
            if line.startswith(b"PCAP "):
                _, count, text = line.split()
                frames, data = int(count), base64.b64decode(text, validate=True)
            else:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
    return child.returncode, frames, data


def with_tshark(data):
    """The frames' protocols, and a line for each frame that is bad."""
    with tempfile.NamedTemporaryFile(suffix=".pcap") as f:
        f.write(data)
        f.flush()
        call = ["tshark", "-n", "-r", f.name, "-o", "ip.check_checksum:TRUE"]
        fields = call + ["-T", "fields", "-e", "frame.protocols"]
        stacks = subprocess.run(fields, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        bad = subprocess.run(call + ["-Y", "_ws.malformed || ip.checksum.status == 0"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [set(s.split(":")) for s in stacks], bad


def ip_sum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def by_hand(data):
    """The same, as far as Ethernet and IPv4."""
    stacks, bad, at = [], [], 24
    if struct.unpack_from("<IHH12xI", data) != (0xa1b2c3d4, 2, 4, 1):
        return stacks, ["not a pcap of Ethernet"]
    while at < len(data):
        _, _, have, length = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16:at + 16 + have]
        at += 16 + have
        if len(frame) < have or have > length or have < 14:
            bad.append(f"frame {len(stacks) + 1}: its record is wrong")
            break
        kind = struct.unpack_from(">H", frame, 12)[0]
        names = {{0x806: "arp", 0x800: "ip"}.get(kind, "other")}
        if kind == 0x800:
            total, protocol = struct.unpack_from(">H", frame, 16)[0], frame[23]
            names.add({1: "icmp", 6: "tcp"}.get(protocol, "other"))
            if ip_sum(frame[14:14 + 4 * (frame[14] & 15)]) != 0xffff or total > length - 14:
                bad.append(f"frame {len(stacks) + 1}: its IPv4 header is wrong")
        stacks.append(names)
    return stacks, bad


def longest(data):
    """By source address, the length of the longest IPv4 frame."""
    found, at = {}, 24
    while at < len(data):
        _, _, have, length = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16:at + 16 + have]
        at += 16 + have
        if frame[12:14] == b"\x08\x00":
            source = ".".join(map(str, frame[26:30]))
            found[source] = max(found.get(source, 0), length)
    return found


def main():
    if len(sys.argv) < 2:
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    status, frames, data = run(sys.argv[1:])
    if status != 0:
        return status if 0 < status < 256 else 1
    name, look = ("tshark", with_tshark) if shutil.which("tshark") else ("by hand: no tshark", by_hand)
    stacks, bad = look(data)
    missing = {"arp", "icmp", "tcp"}.difference(*stacks)
    for line in bad[:10]:
        print(f"FAILED: {line}")
    for protocol in missing:
        print(f"FAILED: no {protocol} in the capture")
    if len(stacks) < frames or not frames:
        print(f"FAILED: {len(stacks)} frames in the capture, expected {frames}")
    large = longest(data)
    if sum(n > SEGMENT for n in large.values()) < 2:
        bad.append(f"no frame is larger than a segment from one of both ends: {large}")
        print(f"FAILED: {bad[-1]}")
    print(f"capture ({name}): {len(stacks)} frames, {len(bad)} bad")
    return 1 if bad or missing or len(stacks) < frames or not frames else 0


if __name__ == "__main__":
    sys.exit(main())
