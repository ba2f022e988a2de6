# SPDX-License-Identifier: BSD-2-Clause
"""The emulated host's machine: QEMU, and its saved state."""

import json
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time

from cargo import KEEP, digest, drop_old, identity, need
from common import CACHE, die_with_parent, say

SCRATCH_SLOT = "0x10"  # behind the disk of the run's files, which is to be /dev/vda
DISK_SIZE = 4 << 30  # the same for every run: a saved host knows its disk's size
# Without xsave: the inner kernel's XSETBV is not emulated. Without erms: copies are faster.
# Known fault, cause unknown (QEMU 7.2): now and then a vCPU stalls for some 20 s, then an interrupt lands between
# #VMEXIT and VMLOAD, with the guest's GS base, and the host's kernel panics. Hiding vgif does not cure it; without the
# watchdogs, whose NMIs come just after such a stall, it was not seen again (0 of 10 runs against 5 of 44).
CPU = "max,+svm,-xsave,-erms,-la57"
APPEND = ("console=ttyS0 panic=-1 quiet loglevel=4 nokaslr tsc=reliable no_timer_check mitigations=off audit=0 "
          "random.trust_cpu=on cryptomgr.notests nowatchdog rcupdate.rcu_cpu_stall_suppress=1")


def reopen(f, flags):
    """QEMU's fd sets want descriptors opened exactly as they are used."""
    return os.open(f"/proc/self/fd/{f.fileno()}", flags | os.O_CLOEXEC)


class Machine:
    """QEMU with one virtio-serial port for frames, a disk for the run's files and a serial log."""

    def __init__(self, o, base):
        self.qemu = need("qemu-system-x86_64")
        self.process = None
        accel = "tcg" if o.deterministic else "tcg,thread=multi"
        self.common = ["-accel", accel, "-cpu", CPU, "-smp", str(o.cpus), "-m", str(o.memory),
                       "-M", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                       "-kernel", os.path.join(base.kernel, "vmlinux"), "-initrd", base.path,
                       "-append", " ".join([APPEND] + o.kernel_arg)]
        if o.deterministic:
            self.common += ["-icount", "shift=0,sleep=off"]
        if o.scratch:
            self.common += ["-object", "iothread,id=scratch", "-blockdev",
                            "driver=file,node-name=scratch,filename=/dev/fdset/3,locking=off,cache.no-flush=on",
                            "-device", f"virtio-blk-pci,drive=scratch,iothread=scratch,addr={SCRATCH_SLOT}"]
        self.scratch_bytes = o.scratch << 20
        self.common += o.qemu_arg
        self.key = digest(identity(self.qemu), base.key, DISK_SIZE, self.scratch_bytes, *self.common)

    def start(self, incoming=None):
        self.disk = tempfile.TemporaryFile(dir=CACHE)
        self.disk.truncate(DISK_SIZE)
        self.log = tempfile.TemporaryFile(dir=CACHE)
        self.mux, mux_far = socket.socketpair()
        self.qmp, qmp_far = socket.socketpair()
        disk, log = reopen(self.disk, os.O_RDONLY), reopen(self.log, os.O_WRONLY | os.O_APPEND)
        fds = (disk, log, mux_far.fileno(), qmp_far.fileno())
        args = [self.qemu, *self.common,
                "-add-fd", f"fd={fds[0]},set=1", "-add-fd", f"fd={fds[1]},set=2",
                "-chardev", "file,id=log,path=/dev/fdset/2,append=on", "-serial", "chardev:log",
                "-chardev", f"socket,id=mux,fd={fds[2]}", "-device", "virtio-serial-pci,max_ports=2",
                "-device", "virtserialport,chardev=mux,nr=1",
                "-chardev", f"socket,id=qmp,fd={fds[3]}", "-mon", "chardev=qmp,mode=control",
                "-drive", "if=none,id=disk,format=raw,readonly=on,file.locking=off,file=/dev/fdset/1",
                "-device", "virtio-blk-pci,drive=disk"]
        if self.scratch_bytes:
            fds += (self._make_scratch(),)
            args += ["-add-fd", f"fd={fds[-1]},set=3"]
        if incoming:
            args += ["-incoming", f"exec:cat {shlex.quote(incoming)}"]
        self.errors = tempfile.TemporaryFile(dir=CACHE)
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=self.errors, stderr=self.errors,
                                        pass_fds=fds, start_new_session=True, preexec_fn=die_with_parent)
        os.close(disk)
        os.close(log)
        for fd in fds[4:]:
            os.close(fd)
        mux_far.close()
        qmp_far.close()
        self.mux.setblocking(False)
        self.qmp_file = self.qmp.makefile("rw")
        self.qmp_ready = False

    def _make_scratch(self):
        """A file system that no other run has seen; its descriptor is the only way to it."""
        with tempfile.TemporaryFile(dir=CACHE) as f:
            f.truncate(self.scratch_bytes)
            subprocess.run([need("mke2fs"), "-q", "-F", "-t", "ext4", "-b", "4096", "-E",
                            "lazy_itable_init=0,lazy_journal_init=0", f"/proc/{os.getpid()}/fd/{f.fileno()}"],
                           stdin=subprocess.DEVNULL, check=True)
            return reopen(f, os.O_RDWR)

    def stop(self):
        if not self.process:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # with the cat that may feed it
        except ProcessLookupError:
            pass
        self.process.wait()
        for f in (self.mux, self.qmp_file, self.qmp, self.disk, self.log, self.errors):
            try:
                f.close()
            except OSError:
                pass
        self.process = None

    def last_words(self):
        """Why it ended: a dozen lines from the first sign of trouble; all that was said is kept in a file."""
        words = b""
        for f in (self.errors, self.log):
            f.seek(0)
            words += f.read()
        kept = os.path.join(CACHE, "failure.log")
        with open(kept, "wb") as f:
            f.write(words)
        lines = [x for x in words.decode(errors="replace").replace("\r", "").splitlines() if x.strip()]
        signs = ("Kernel panic", "Oops", "BUG:", "general protection", "stack guard page", "double fault")
        trouble = next((i for i, x in enumerate(lines) if any(s in x for s in signs)), len(lines))
        first = min(trouble, max(0, len(lines) - 12))
        return "".join(f"\n    {x}" for x in lines[first:first + 12]) + f"\n  all of it: {os.path.relpath(kept)}"

    def command(self, name, limit=60, **arguments):
        self.qmp.settimeout(limit)
        if not self.qmp_ready:
            self.qmp_ready = True
            self.qmp_file.readline()
            self.command("qmp_capabilities")
        self.qmp_file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.qmp_file.flush()
        while True:
            line = self.qmp_file.readline()
            if not line:
                raise OSError("QEMU closed its monitor")
            answer = json.loads(line)
            if "error" in answer:
                raise OSError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def save(self, path, deadline):
        """Writes the machine's state and lets it run on. A failure costs the saved state, not the run."""
        new = f"{path}.{os.getpid()}"
        try:
            self.command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
            self.command("migrate", uri=f"exec:cat >{shlex.quote(new)}")
            end = time.monotonic() + 60
            while True:
                status = self.command("query-migrate").get("status")
                if status == "completed":
                    break
                if status in ("failed", "cancelled") or time.monotonic() > end or deadline.passed():
                    raise OSError(f"migration {status}")
                time.sleep(0.01)
            self.command("cont")
            drop_old("state-", ".bin", KEEP - 1)
            os.replace(new, path)
        except (OSError, ValueError) as e:
            say(f"note: the host's state could not be saved: {e}")
            try:
                self.command("cont")
            except (OSError, ValueError):
                pass
        finally:
            if os.path.exists(new):
                os.unlink(new)
