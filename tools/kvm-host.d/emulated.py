# SPDX-License-Identifier: BSD-2-Clause
"""One run on the emulated host, with a saved state where there is one."""

import os
import time

from cargo import Base, Cargo, Lock
from common import CACHE, OWN, Failure, say
from machine import Machine
from session import Session

BOOT_LIMIT, RESTORE_LIMIT = 90, 20


class SlowStart(Exception):
    """A restored host did not come up; a booted one may."""


def attempt(o, base, cargo, program, deadline, signals, use_saved, note):
    """One machine from start to end; returns the command's status. SlowStart: worth another try without saved state."""
    machine = Machine(o, base)
    state = os.path.join(CACHE, f"state-{machine.key}.bin")
    saved = use_saved and os.path.exists(state)
    session = None
    try:
        machine.start(state if saved else None)
        session = Session(o, machine, deadline, signals)
        session.listen()
        cargo.write(machine.disk)
        note("files packed")
        if saved:
            os.utime(state)
        else:
            if not session.turn(BOOT_LIMIT, lambda: session.ready):
                raise Failure("the emulated host did not come up" + machine.last_words())
            note("host booted")
            if use_saved and session.status is None:
                with Lock(f"state-{machine.key}", wait=False) as lock:
                    if lock.held and not os.path.exists(state):
                        machine.save(state, deadline)
                        note("state saved")
        session.go(program, o.command)
        try:
            if not session.turn(RESTORE_LIMIT if saved else BOOT_LIMIT, lambda: session.started):
                raise Failure("the emulated host does not answer" + machine.last_words())
        except Failure as e:
            if saved and e.status == OWN and not session.started:
                try:
                    os.unlink(state)
                except OSError:
                    pass
                raise SlowStart(str(e).splitlines()[0])
            raise
        note("command started")
        session.turn(None, lambda: False)
        session.drain()
        note("command ended")
        status = session.status
        if os.WIFSIGNALED(status):
            return 128 + os.WTERMSIG(status)
        return os.WEXITSTATUS(status)
    finally:
        if session:
            session.close_all()
        machine.stop()


def run(o, deadline, signals):
    begin = time.monotonic()

    def note(text):
        if o.verbose:
            say(f"{time.monotonic() - begin:.2f} s: {text}")

    base = Base()
    cargo = Cargo(base.applets)
    for path, dest in o.files:
        cargo.add(path, dest)
    program = cargo.add_command(o.command[0])
    note("libraries found")
    use_saved = o.snapshot is not False and not o.deterministic
    for left in range(o.retries, -1, -1):
        try:
            return attempt(o, base, cargo, program, deadline, signals, use_saved, note)
        except SlowStart as e:
            say(f"note: saved state did not work ({e}); booting")
            return attempt(o, base, cargo, program, deadline, signals, False, note)
        except Failure as e:
            if e.status != OWN or not left:
                raise
            say(f"{e}\nkvm-host: note: the emulated host died, not the command; once more")
