# SPDX-License-Identifier: BSD-2-Clause
"""What the parts of kvm-host share: how a run fails, signals, time."""

import ctypes
import os
import signal
import sys
import time

USAGE, OWN, TIMEOUT, NOT_FOUND, NOT_EXECUTABLE = 2, 125, 124, 127, 126
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
CACHE = os.path.join(TOP, "build", "kvm-host")
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Failure(Exception):
    """Ends the run with one line and a status."""

    def __init__(self, text, status=OWN):
        super().__init__(text)
        self.status = status


def say(text):
    print(f"kvm-host: {text}", file=sys.stderr, flush=True)


class Signals:
    """Signals arrive as bytes on a descriptor."""

    CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGWINCH, signal.SIGCHLD)

    def __init__(self):
        self.read_end, self.write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self.write_end, warn_on_full_buffer=False)
        for s in self.CAUGHT:
            signal.signal(s, lambda *_: None)

    def take(self):
        try:
            return os.read(self.read_end, 256)
        except BlockingIOError:
            return b""


class Deadline:
    def __init__(self, seconds):
        self.seconds = seconds
        self.end = time.monotonic() + seconds if seconds else None

    def left(self):
        return max(0.0, self.end - time.monotonic()) if self.end else None

    def passed(self):
        return self.end is not None and time.monotonic() >= self.end


def prctl(option, value):
    ctypes.CDLL(None).prctl(option, int(value), 0, 0, 0)


def die_with_parent():
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def reads_terminal(fd):
    """Is fd a terminal that this process may read (not a background job)?"""
    try:
        return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
