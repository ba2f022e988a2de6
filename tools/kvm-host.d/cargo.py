# SPDX-License-Identifier: BSD-2-Clause
"""What the emulated host carries: the initramfs that all runs share, and the files of one run."""

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile

import initramfs
from common import CACHE, NOT_EXECUTABLE, NOT_FOUND, TOP, USAGE, Failure, say

HOST_MODULES = "virtio_pci,virtio_blk,virtio_console,kvm_amd,tun,vhost_net"
LIBRARY_DIRS = ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib", "/lib64", "/usr/lib64")
KEEP = 4  # of the newest in the cache


def need(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")
    if not path:
        raise Failure(f"{program} is not installed: run scripts/setup.sh")
    return path


def identity(path):
    """Changes when the program is another one; cheaper than asking it for its version."""
    st = os.stat(path)
    return f"{os.path.realpath(path)} {st.st_size} {st.st_mtime_ns}"


def read(path):
    with open(path, "rb") as f:
        return f.read()


def digest(*parts):
    h = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        h.update(b"%d:" % len(data) + data)
    return h.hexdigest()[:16]


class Lock:
    def __init__(self, name, wait=True):
        os.makedirs(CACHE, exist_ok=True)
        self.fd = os.open(os.path.join(CACHE, name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self.held = True
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            self.held = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)


def kernel_folder():
    current = os.path.join(TOP, "build", "kernel", "current")
    if not os.path.isfile(os.path.join(current, "vmlinux")):
        say("getting the kernel (once)")
        done = subprocess.run([os.path.join(TOP, "scripts", "kernel.sh")], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failure("no kernel: " + (done.stderr.strip().splitlines() or ["scripts/kernel.sh failed"])[-1])
    return os.path.realpath(current)


class Base:
    """The initramfs that every run shares: kvm-host-init, busybox, modules. Built once."""

    def __init__(self):
        self.kernel = kernel_folder()
        self.busybox = need("busybox")
        source = os.path.join(TOP, "tools", "kvm-host-init.c")
        self.key = digest(os.path.basename(self.kernel), identity(self.busybox), read(source), HOST_MODULES,
                          read(initramfs.__file__), read(os.path.realpath(__file__)))
        self.path = os.path.join(CACHE, f"base-{self.key}.cpio")
        self.list = os.path.join(CACHE, f"base-{self.key}.applets")
        if not os.path.exists(self.list):
            with Lock("base"):
                if not os.path.exists(self.list):
                    self._build(source)
        self.applets = set(read(self.list).decode().split())

    def _build(self, source):
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            init = os.path.join(work, "init")
            done = subprocess.run([need("gcc"), "-std=gnu11", "-O2", "-static", "-s", "-o", init, source],
                                  stderr=subprocess.PIPE, text=True)
            if done.returncode:
                raise Failure(f"cannot build {source}: {done.stderr.strip()}")
            applets = subprocess.run([self.busybox, "--list"], stdout=subprocess.PIPE, text=True).stdout.split()
            out = os.path.join(work, "base")
            with open(out, "wb") as f:
                c = initramfs.Cpio(f)
                for d in ("dev", "proc", "sys", "tmp", "run", "root", "etc", "mnt", "var/tmp", "usr/bin", "usr/sbin",
                          "usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/local/bin"):
                    c.add_dir(d)
                for d in ("bin", "sbin", "lib", "lib64"):
                    c.add_link(d, f"usr/{d}")
                c.add_link("var/run", "/run")
                c.add_file("init", init)
                c.add_file("usr/bin/busybox", self.busybox)
                for a in applets:
                    if a != "busybox":
                        c.add_link(f"usr/bin/{a}", "busybox")
                initramfs.add_modules(c, os.path.join(self.kernel, "modules"), HOST_MODULES.split(","),
                                      "usr/lib/modules")
                c.add_bytes("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
                c.add_bytes("etc/group", b"root:x:0:\n")
                c.add_bytes("etc/hosts", b"127.0.0.1 localhost kvm-host\n::1 localhost\n")
                c.finish()
            drop_old("base-", ".cpio", KEEP - 1)
            os.replace(out, self.path)
            with open(os.path.join(work, "list"), "w") as f:
                f.write("\n".join(applets))
            os.replace(f.name, self.list)


def drop_old(prefix, suffix, keep):
    found = [os.path.join(CACHE, f) for f in os.listdir(CACHE) if f.startswith(prefix) and f.endswith(suffix)]
    for path in sorted(found, key=os.path.getmtime)[:-keep or None]:
        for extra in (path, path[:-len(suffix)] + ".applets"):
            try:
                os.unlink(extra)
            except OSError:
                pass


class Cargo:
    """The files of one run, by their path inside."""

    def __init__(self, applets):
        self.applets = applets
        self.files, self.links, self.dirs = {}, {}, set()

    def add(self, path, dest):
        if os.path.isdir(path):
            self._add_tree(path, dest)
            return
        if not os.access(path, os.R_OK):
            raise Failure(f"{path}: cannot be read", USAGE)
        if self.files.get(dest) == path:
            return
        self.files[dest] = path
        if self._is_elf(path):
            self._add_libraries(path)

    def _add_tree(self, path, dest):
        self.dirs.add(dest)
        for folder, dirs, files in os.walk(path):
            inside = os.path.normpath(os.path.join(dest, os.path.relpath(folder, path)))
            for name in dirs + files:
                full, to = os.path.join(folder, name), os.path.join(inside, name)
                if os.path.islink(full):
                    self.links[to] = os.readlink(full)
                elif os.path.isdir(full):
                    self.dirs.add(to)
                elif stat.S_ISREG(os.stat(full).st_mode):
                    self.add(full, to)

    @staticmethod
    def _is_elf(path):
        with open(path, "rb") as f:
            head = f.read(20)
        # executables and shared objects of this machine; a kernel or an object file has no libraries
        return head[:5] == b"\x7fELF\x02" and head[18:20] == b"\x3e\x00" and os.access(path, os.X_OK)

    def _add_libraries(self, path):
        out = subprocess.run(["/usr/bin/ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        for line in out.splitlines():
            words = line.split()
            if "not found" in line:
                raise Failure(f"{path}: its library {words[0]} is not found")
            library = words[2] if len(words) > 2 and words[1] == "=>" else words[0] if words else ""
            if not library.startswith("/") or library in self.files:
                continue
            self.files[library] = library
            if os.path.dirname(library) not in LIBRARY_DIRS:
                self.links.setdefault("/usr/lib/x86_64-linux-gnu/" + os.path.basename(library), library)

    def add_command(self, name):
        """Finds COMMAND as a shell would; busybox's own applets win over this machine's programs. Returns its path."""
        if "/" not in name:
            if name in self.applets:
                return name
            path = shutil.which(name)
            if not path:
                raise Failure(f"{name}: command not found", NOT_FOUND)
        else:
            path = name
            if not os.path.exists(path):
                dest = os.path.normpath(os.path.join(os.getcwd(), path))
                inside = dest in self.files or dest in self.links
                if inside or os.path.basename(dest) in self.applets and os.path.dirname(dest) in ("/bin", "/usr/bin"):
                    return name
                raise Failure(f"{name}: command not found", NOT_FOUND)
        path = os.path.normpath(os.path.join(os.getcwd(), path))
        if os.path.basename(path) in self.applets and os.path.dirname(path) in ("/bin", "/sbin", "/usr/bin", "/usr/sbin"):
            return os.path.basename(path)
        if os.path.isdir(path) or not os.access(path, os.X_OK):
            raise Failure(f"{name}: not executable", NOT_EXECUTABLE)
        self._check_interpreter(path)
        self.add(path, path)
        return path

    def _check_interpreter(self, path):
        with open(path, "rb") as f:
            line = f.readline(256)
        if not line.startswith(b"#!"):
            return
        words = line[2:].decode(errors="replace").split()
        names = [os.path.basename(w) for w in words[:2] if not w.startswith("-")]
        wanted = names[1] if len(names) > 1 and names[0] == "env" else names[0] if names else "sh"
        if wanted not in self.applets and not any(os.path.basename(d) == wanted for d in self.files):
            raise Failure(f"{path}: needs {wanted}, and the emulated host has busybox only", USAGE)

    def write(self, out):
        c = initramfs.Cpio(out)
        for d in sorted(self.dirs):
            c.add_dir(d)
        for dest, path in self.files.items():
            c.add_file(dest, path)
        for dest, target in self.links.items():
            if dest not in self.files:
                c.add_link(dest, target)
        c.finish()
        out.flush()
