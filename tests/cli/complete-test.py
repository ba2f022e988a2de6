#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""Completion: what the program offers, and what bash and zsh make of it.

usage: complete-test.py VMM COMPLETIONS
"""

import os
import shutil
import subprocess
import sys
import tempfile

failures = []

# What is typed after "aerostat "; what is offered, of which bash leaves out what it has cut off at the last '=' or ':'.
ROWS = [
    ("-accel-", []),
    ("-no-re", ["-no-reboot"]),
    ("-dump-", ["-dump-config", "-dump-tree", "-dump-schema", "-dump-man"]),
    ("-m 512 -mem", ["-mem-path", "-mem-prealloc"]),
    ("-M mic", ["microvm"]),
    ("-M pc,acc", ["pc,accel="]),
    ("-M pc,accel=k", ["pc,accel=kvm"]),
    ("-M pc,rtc=", ["pc,rtc=on", "pc,rtc=off"]),
    ("-accel ", ["kvm", "qtest", "help"]),
    ("-device virtio-rng", ["virtio-rng", "virtio-rng-pci", "virtio-rng-device", "virtio-rng-pci-transitional",
                            "virtio-rng-pci-non-transitional"]),
    ("-device virtio-balloon,id=b,deflate-on", ["virtio-balloon,id=b,deflate-on-oom="]),
    ("-device virtio-balloon,deflate-on-oom=o", ["virtio-balloon,deflate-on-oom=on", "virtio-balloon,deflate-on-oom=off"]),
    ("-device nosuch,i", ["nosuch,id="]),
    ("-explain virtio-balloon-d", ["virtio-balloon-device"]),
    ("-explain virtio-balloon,deflate-on", ["virtio-balloon,deflate-on-oom="]),
    ("-trace-boot vm", ["vmlinux"]),
    ("-vga ", ["none"]),
    ("-object rng-r", ["rng-random"]),
    ("-object rng-random,filen", ["rng-random,filename="]),
    ("-chardev sock", ["socket"]),
    ("-chardev socket,id=c,ser", ["socket,id=c,server="]),
    ("-chardev socket,server=", ["socket,server=on", "socket,server=off"]),
    ("-netdev use", ["user"]),
    ("-netdev user,hostf", ["user,hostfwd="]),
    ("-blockdev driver=host", ["driver=host_device"]),
    ("-blockdev driver=file,discard=", ["driver=file,discard=ignore", "driver=file,discard=unmap", "driver=file,discard=off",
                                         "driver=file,discard=on"]),
    ("-drive if=", ["if=virtio", "if=none"]),
    ("-smp cor", ["cores="]),
    ("-rtc clo", ["clock="]),
    ("-qmp uni", ["unix:"]),
    ("-gdb uni", ["unix:"]),
    ("-serial unix:x,wa", ["unix:x,wait=off"]),
    ("-mon chardev=a,mo", ["chardev=a,mode="]),
    ("-d guest", ["guest_errors"]),
    ("-kernel vml", ["vmlinux"]),
    ("-kernel sub", ["sub/"]),
    ("-blockdev file,filename=vm", ["file,filename=vmlinux"]),
    ("-serial file:su", ["file:sub/"]),
    ("-append x", []),
    ("-nosuch x", []),
]


def check(what, good, got=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {got}")


def run(words, **more):
    got = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         timeout=60, **more)
    return got.stdout, got.stderr, got.returncode


def program(vmm):
    for typed, wanted in ROWS:
        words = typed.split(" ")
        text, err, status = run([vmm, "-complete", words[-1] if words[-1].startswith("-") else " ".join(words[-2:])])
        offered = text.splitlines()
        if offered != [":files"]:
            check(f"-complete {typed!r}", sorted(offered) == sorted(wanted) and not err and status == 0, (offered, err))
    text = run([vmm, "-complete", "-"])[0].splitlines()
    check("each option is offered", len(text) > 40 and len(set(text)) == len(text) and "-complete" not in text, text)
    for name in run([vmm, "-complete", "-device "])[0].splitlines():
        if name != "help":
            check(f"-device {name},help", run([vmm, *(["-M", "microvm"] if name.endswith("-device") else []), "-device",
                                               f"{name},help"])[2] == 0)


BASH = """
source "$1"
COMP_LINE="aerostat $2" COMP_POINT=${#COMP_LINE} COMP_WORDS=("$3") COMP_CWORD=1
_aerostat aerostat "${COMP_LINE##* }" ""
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(vmm, script):
    for typed, wanted in ROWS:
        word = typed.split(" ")[-1]
        cut = max(word.rfind("="), word.rfind(":")) + 1
        text, err, _ = run(["bash", "--norc", "-c", BASH, "bash", script, typed, vmm])
        check(f"bash: {typed!r}", sorted(filter(None, text.splitlines())) == sorted(w[cut:] for w in wanted) and not err,
              (text, err))


# compadd is told words; outside of a completion it is a function of the test.
ZSH = """
compadd() { while [[ $1 == -* ]]; do [[ $1 == -S ]] && shift; [[ $1 == -- ]] && { shift; break }; shift; done; print -l -- "$@" }
compset() { : }
_files() { print files }
words=("$3" ${(z)2}) CURRENT=$(( ${(w)#2} + 1 )) PREFIX=${2##* }
[[ $2 == *' ' ]] && words+=('') CURRENT=$(( CURRENT + 1 ))
source "$1"
"""


def zsh(vmm, script):
    if not shutil.which("zsh"):
        print("skipped: no zsh here")
        return
    check("zsh reads it", run(["zsh", "-n", script])[1:] == ("", 0))
    for typed, wanted in ROWS:
        text, err, _ = run(["zsh", "-f", "-c", ZSH, "zsh", script, typed, vmm])
        if text != "files\n":
            check(f"zsh: {typed!r}", sorted(filter(None, text.splitlines())) == sorted(wanted) and not err, (text, err))


def main():
    if len(sys.argv) != 3:
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    vmm, scripts = (os.path.abspath(p) for p in sys.argv[1:])
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        os.mkdir("sub")
        open("vmlinux", "w").close()
        program(vmm)
        bash(vmm, os.path.join(scripts, "aerostat.bash"))
        zsh(vmm, os.path.join(scripts, "_aerostat"))
        os.chdir("/")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
