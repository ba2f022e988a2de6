#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Writes initramfs archives (newc cpio) and sorts kernel modules into loading order."""

import argparse
import os
import re
import stat
import sys


class Cpio:
    """A newc cpio archive, written as it grows. Output depends on the contents alone: times are zero."""

    def __init__(self, out):
        self.out = out
        self.inode = 0
        self.dirs = set()

    def _header(self, name, mode, size):
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(raw), 0)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + raw
        self.out.write(head + bytes(-len(head) % 4))

    def _data(self, data):
        self.out.write(data + bytes(-len(data) % 4))

    def _parents(self, name):
        parent = os.path.dirname(name)
        if parent and parent not in self.dirs:
            self.add_dir(parent)

    def add_dir(self, name, mode=0o755):
        name = name.strip("/")
        if name and name not in self.dirs:
            self._parents(name)
            self.dirs.add(name)
            self._header(name, stat.S_IFDIR | mode, 0)

    def add_bytes(self, name, data, mode=0o644):
        name = name.strip("/")
        self._parents(name)
        self._header(name, stat.S_IFREG | mode, len(data))
        self._data(data)

    def add_link(self, name, target):
        name = name.strip("/")
        self._parents(name)
        raw = target.encode()
        self._header(name, stat.S_IFLNK | 0o777, len(raw))
        self._data(raw)

    def add_file(self, name, path):
        """The file at path; a long one is copied without passing through our memory at once."""
        name = name.strip("/")
        self._parents(name)
        with open(path, "rb") as src:
            st = os.fstat(src.fileno())
            if st.st_size >= 1 << 32:
                raise ValueError(f"{path}: larger than 4 GiB")
            self._header(name, stat.S_IFREG | (st.st_mode & 0o777), st.st_size)
            left = st.st_size
            while left:
                data = src.read(min(left, 1 << 20))
                if not data:
                    raise ValueError(f"{path}: shrank while it was read")
                self.out.write(data)
                left -= len(data)
            self.out.write(bytes(-st.st_size % 4))

    def finish(self):
        self._header("TRAILER!!!", 0, 0)
        self.out.write(bytes(-self.out.tell() % 512))


def find_modules(tree):
    """Every module of an unpacked kernel by name, '-' written as '_'."""
    found = {}
    for folder, _, files in os.walk(tree):
        for f in files:
            if f.endswith(".ko"):
                found[f[:-3].replace("-", "_")] = os.path.join(folder, f)
    return found


def module_depends(path):
    with open(path, "rb") as f:
        m = re.search(rb"\0depends=([^\0]*)\0", f.read())
    return [d.replace("-", "_") for d in m.group(1).decode().split(",") if d] if m else []


def module_order(tree, names):
    """Paths of the named modules and all they depend on, in loading order. Built-in ones are left out."""
    found, order = find_modules(tree), []

    def visit(name, wanted_by):
        path = found.get(name)
        if path is None:
            if wanted_by:
                return  # built in, else the kernel package would be broken
            print(f"note: no module {name}: built in or absent", file=sys.stderr)
        elif path not in order:
            for d in module_depends(path):
                visit(d, name)
            order.append(path)

    for n in names:
        visit(n.replace("-", "_"), None)
    return order


def add_modules(cpio, tree, names, folder="lib/modules"):
    """Puts modules into the archive and their loading order into etc/modules."""
    order = module_order(tree, names)
    inside = [f"{folder}/{os.path.basename(p)}" for p in order]
    for path, name in zip(order, inside):
        cpio.add_file(name, path)
    cpio.add_bytes("etc/modules", "".join(f"/{n}\n" for n in inside).encode())


def add_busybox(cpio, busybox, applets):
    cpio.add_file("bin/busybox", busybox)
    for a in applets:
        cpio.add_link(f"bin/{a}", "busybox")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", required=True)
    p.add_argument("--init", required=True, help="program that becomes /init")
    p.add_argument("--busybox", required=True)
    p.add_argument("--applets", default="", help="names that become links to busybox, with commas")
    p.add_argument("--modules-from", required=True, help="unpacked kernel's module folder")
    p.add_argument("--modules", default="", help="names with commas; what they depend on is added")
    a = p.parse_args()

    with open(a.out + ".new", "wb") as out:
        c = Cpio(out)
        for d in ("dev", "proc", "sys", "tmp", "run", "root", "etc"):
            c.add_dir(d)
        c.add_file("init", a.init)
        add_busybox(c, a.busybox, [x for x in a.applets.split(",") if x])
        add_modules(c, a.modules_from, [x for x in a.modules.split(",") if x])
        c.add_bytes("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        c.add_bytes("etc/group", b"root:x:0:\n")
        c.finish()
    os.replace(a.out + ".new", a.out)


if __name__ == "__main__":
    main()
