# SPDX-License-Identifier: BSD-2-Clause
"""One run on this machine's own KVM."""

import errno
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

from common import CACHE, NOT_EXECUTABLE, NOT_FOUND, PR_SET_CHILD_SUBREAPER, TIMEOUT, Failure, prctl


def descendants():
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    parent = int(f.read().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
            except OSError:
                pass
    todo, found = [os.getpid()], []
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def kill_descendants():
    for _ in range(100):
        alive = descendants()
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def place_files(o):
    """Links for files wanted elsewhere than they are; returns what to take away at the end."""
    made = []
    for path, dest in o.files:
        if os.path.exists(dest):
            if not os.path.samefile(path, dest):
                raise Failure(f"--file {path}:{dest}: {dest} exists already")
            continue
        try:
            parent = os.path.dirname(dest)
            while not os.path.isdir(parent):
                made.append((os.rmdir, parent))
                parent = os.path.dirname(parent)
            os.makedirs(os.path.dirname(dest), exist_ok=True)
            os.symlink(os.path.abspath(path), dest)
            made.insert(0, (os.unlink, dest))
        except OSError as e:
            raise Failure(f"--file {path}:{dest}: {e.strerror}")
    return made


def run(o, deadline, signals):
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans come to us, so that all can be killed
    made = place_files(o)
    try:
        for inner, outer in o.forwards:
            os.symlink(inner, outer)
            made.insert(0, (os.unlink, outer))
        env = dict(os.environ, AEROSTAT_KVM_HOST="direct", **dict(kv.split("=", 1) for kv in o.env))
        if o.scratch:
            os.makedirs(CACHE, exist_ok=True)
            env["AEROSTAT_SCRATCH"] = tempfile.mkdtemp(dir=CACHE)
            made.insert(0, (shutil.rmtree, env["AEROSTAT_SCRATCH"]))
        try:
            child = subprocess.Popen(o.command, env=env, restore_signals=True)
        except OSError as e:
            raise Failure(f"{o.command[0]}: {e.strerror}", NOT_FOUND if e.errno == errno.ENOENT else NOT_EXECUTABLE)
        while child.poll() is None:
            select.select([signals.read_end], [], [], deadline.left())
            for s in signals.take():
                if s in (signal.SIGTERM, signal.SIGHUP):  # the keyboard's signals reach the child by themselves
                    child.send_signal(s)
            if deadline.passed():
                raise Failure(f"timeout after {deadline.seconds:g} s", TIMEOUT)
        return child.returncode if child.returncode >= 0 else 128 - child.returncode
    finally:
        kill_descendants()
        for undo, path in made:
            try:
                undo(path)
            except OSError:
                pass
