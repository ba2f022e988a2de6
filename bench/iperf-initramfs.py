#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Adds this machine's iperf3, with its libraries, to a guest's initramfs: iperf-initramfs.py BASE OUT."""

import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "scripts"))
from initramfs import Cpio  # noqa: E402

LOADER = "/lib64/ld-linux-x86-64.so.2"


def main():
    base, out = sys.argv[1:]
    iperf = shutil.which("iperf3") or sys.exit("iperf-initramfs.py: no iperf3 here: apt-get install iperf3")
    lines = subprocess.run(["ldd", iperf], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    libraries = dict(line.split()[0:3:2] for line in lines if "=>" in line)
    with open(out, "wb") as archive:
        with open(base, "rb") as f:
            shutil.copyfileobj(f, archive)
        c = Cpio(archive)  # the kernel takes several archives in one file
        c.add_file("bin/iperf3", iperf)
        c.add_file(LOADER, LOADER)
        for name, path in libraries.items():
            c.add_file(f"lib/{name}", path)
        c.finish()


if __name__ == "__main__":
    main()
