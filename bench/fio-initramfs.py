#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Adds this machine's fio to a guest's initramfs: fio-initramfs.py BASE OUT.

Debian's fio is linked with 100 MB of libraries for its network engines. Those that a local disk does not need are
replaced by one stand-in that defines their functions, as traps: 5 MB instead.
"""

import collections
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "scripts"))
from initramfs import Cpio  # noqa: E402

KEPT = ("libnuma.so", "libz.so", "libm.so", "libaio.so", "libc.so")
LOADER = "/lib64/ld-linux-x86-64.so.2"


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def symbols(path, which):
    """Pairs of name and version, which may be empty; without weak ones."""
    lines = (line.split() for line in output("nm", "-D", which, path).splitlines())
    return [words[-1].replace("@@", "@").partition("@")[::2] for words in lines if words[-2] != "w"]


def make_stand_in(path, missing):
    versions = collections.defaultdict(list)
    for name, version in missing:
        versions[version].append(name)
    code = "".join(f".globl {s}\n.type {s}, @function\n{s}: ud2\n" for s, _ in missing)
    code += '.section .note.GNU-stack,"",@progbits\n'
    with tempfile.NamedTemporaryFile("w") as script:
        for version, names in versions.items():
            if version:
                script.write(f"{version} {{ {'; '.join(names)}; }};\n")
        script.flush()
        subprocess.run(["gcc", "-shared", "-nostdlib", f"-Wl,--version-script={script.name}", "-x", "assembler", "-o",
                        path, "-"], input=code, text=True, check=True)


def main():
    base, out = sys.argv[1:]
    fio = shutil.which("fio") or sys.exit("fio-initramfs.py: no fio here: apt-get install fio")
    needed = [w[-1].strip("[]") for w in map(str.split, output("readelf", "-d", fio).splitlines()) if "(NEEDED)" in w]
    found = dict(line.split()[0:3:2] for line in output("ldd", fio).splitlines() if "=>" in line)
    kept = [n for n in needed if n.startswith(KEPT)]
    there = {name for n in kept for name, _ in symbols(found[n], "--defined-only")}
    missing = sorted(s for s in symbols(fio, "--undefined-only") if s[0] not in there)

    with tempfile.NamedTemporaryFile(suffix=".so") as stand_in, open(out, "wb") as archive:
        make_stand_in(stand_in.name, missing)
        with open(base, "rb") as f:
            shutil.copyfileobj(f, archive)
        c = Cpio(archive)  # the kernel takes several archives in one file
        c.add_file("bin/fio", fio)
        c.add_file(LOADER, LOADER)
        for n in kept:
            c.add_file(f"lib/{n}", found[n])
        c.add_file("lib/stand-in.so", stand_in.name)
        for n in set(needed).difference(kept):
            c.add_link(f"lib/{n}", "stand-in.so")
        c.finish()


if __name__ == "__main__":
    main()
