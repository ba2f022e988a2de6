# SPDX-License-Identifier: BSD-2-Clause
"""Carries streams between this process and the first process of the emulated host (../kvm-host-init.c)."""

import fcntl
import os
import select
import signal
import socket
import struct
import termios
import time
import tty

from common import TIMEOUT, Failure, reads_terminal

# The numbers are shared with kvm-host-init.c. Frame: type, 0, stream (le16), length (le32), payload.
F_READY, F_STARTED, F_DATA, F_EOF, F_CREDIT, F_EXIT, F_FAIL, F_GO, F_OPEN, F_SIGNAL, F_WINSIZE = range(1, 12)
STDIN, STDOUT, STDERR, FORWARD = range(4)
HEADER = struct.Struct("<BBHI")
WINDOW = 256 * 1024
CHUNK = 32 * 1024
BACKLOG = 4 << 20  # bytes that may wait for a slow reader of ours before we stop reading


class Stream:
    """What one outer descriptor has to do with one stream of frames."""

    def __init__(self, sid, rfd=None, wfd=None, sock=None):
        self.sid, self.rfd, self.wfd, self.sock = sid, rfd, wfd, sock
        self.credit = WINDOW
        self.out = bytearray()
        self.eof = False


class Session:
    """Carries streams between this process and the machine until the command's exit status arrives."""

    def __init__(self, o, machine, deadline, signals):
        self.o, self.machine, self.deadline, self.signals = o, machine, deadline, signals
        self.mux = machine.mux
        self.inbuf, self.outbuf = bytearray(), bytearray()
        self.streams, self.listeners = {}, {}
        self.next_id = FORWARD
        self.status = self.killed_by = self.grace = None
        self.ready = self.started = False
        self.terminal = reads_terminal(0) and os.isatty(1)
        self.saved_tty = None

    # frames

    def send(self, kind, sid=0, data=b""):
        self.outbuf += HEADER.pack(kind, 0, sid, len(data)) + data

    def on_frame(self, kind, sid, data):
        s = self.streams.get(sid)
        if kind == F_READY:
            self.ready = True
        elif kind == F_STARTED:
            self.started = True
            self.open_streams()
        elif kind == F_EXIT:
            self.status = struct.unpack("<i", data)[0]
        elif kind == F_FAIL:
            raise Failure(f"inside the emulated host: {data.decode(errors='replace')}")
        elif kind == F_DATA and s and s.wfd is not None:
            s.out += data
            self.flush(s)
        elif kind == F_EOF and s:
            s.eof = True
            self.flush(s)
        elif kind == F_CREDIT and s:
            s.credit += struct.unpack("<I", data)[0]

    def parse_frames(self):
        pos = 0
        while len(self.inbuf) - pos >= HEADER.size:
            kind, _, sid, length = HEADER.unpack_from(self.inbuf, pos)
            if len(self.inbuf) - pos < HEADER.size + length:
                break
            data = bytes(self.inbuf[pos + HEADER.size:pos + HEADER.size + length])
            pos += HEADER.size + length
            self.on_frame(kind, sid, data)
        del self.inbuf[:pos]

    # streams

    def open_streams(self):
        if self.terminal:
            self.saved_tty = termios.tcgetattr(0)
            tty.setraw(0)
        usable = not os.isatty(0) or reads_terminal(0)
        self.streams[STDIN] = Stream(STDIN, rfd=0 if usable else None)
        if not usable:
            self.send(F_EOF, STDIN)
        self.streams[STDOUT] = Stream(STDOUT, wfd=1)
        self.streams[STDERR] = Stream(STDERR, wfd=2)

    def restore_terminal(self):
        if self.saved_tty:
            termios.tcsetattr(0, termios.TCSADRAIN, self.saved_tty)
            self.saved_tty = None

    def flush(self, s):
        """Writes what the descriptor takes now. Ours may be shared with others, so it stays blocking: poll decides."""
        while s.out and s.wfd is not None:
            if not select.select([], [s.wfd], [], 0)[1]:
                return
            try:
                n = os.write(s.wfd, s.out[:4096])
                del s.out[:n]
            except BlockingIOError:
                return
            except OSError:  # the reader is gone
                s.out.clear()
                s.wfd = None
                if s.sid < FORWARD:
                    self.killed_by = self.killed_by or signal.SIGPIPE
                    self.send(F_SIGNAL, 0, struct.pack("<i", signal.SIGPIPE))
        if s.eof and s.sock:
            self.close(s)

    def close(self, s):
        s.sock.close()
        del self.streams[s.sid]

    def pump_in(self, s):
        try:
            data = os.read(s.rfd, min(CHUNK, s.credit))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            s.credit -= len(data)
            self.send(F_DATA, s.sid, data)
        else:
            s.rfd = None
            self.send(F_EOF, s.sid)

    def accept(self, listener, inner):
        try:
            conn, _ = listener.accept()
        except OSError:
            return
        conn.setblocking(False)
        while self.next_id in self.streams:
            self.next_id = self.next_id + 1 if self.next_id < 0xFFFF else FORWARD
        sid = self.next_id
        self.next_id = sid + 1 if sid < 0xFFFF else FORWARD
        self.streams[sid] = Stream(sid, rfd=conn.fileno(), wfd=conn.fileno(), sock=conn)
        self.send(F_OPEN, sid, inner.encode())

    def listen(self):
        for inner, outer in self.o.forwards:
            s = socket.socket(socket.AF_UNIX)
            try:
                s.bind(outer)
            except OSError as e:
                raise Failure(f"--forward-socket {inner}:{outer}: {e.strerror}")
            self.listeners[s.fileno()] = (s, inner, outer)
            s.listen(8)
            s.setblocking(False)

    def close_all(self):
        self.restore_terminal()
        for s, _, outer in self.listeners.values():
            s.close()
            try:
                os.unlink(outer)
            except OSError:
                pass
        for s in list(self.streams.values()):
            if s.sock:
                s.sock.close()

    # the loop

    def on_signals(self):
        for s in self.signals.take():
            if s == signal.SIGWINCH:
                if self.terminal:
                    self.send(F_WINSIZE, 0, fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8)))
            elif s != signal.SIGCHLD:
                if self.killed_by or not self.started:
                    self.killed_by = s
                    self.status = s
                    return
                self.killed_by = s
                self.grace = time.monotonic() + 5
                self.send(F_SIGNAL, 0, struct.pack("<i", s))

    def wait(self, limit):
        """One turn: waits for anything to do, at most limit seconds, and does it."""
        p = select.poll()
        backlog = any(len(s.out) > BACKLOG for s in self.streams.values())
        p.register(self.mux, (0 if backlog else select.POLLIN) | (select.POLLOUT if self.outbuf else 0))
        p.register(self.signals.read_end, select.POLLIN)
        readers, writers = {}, {}
        for s in self.streams.values():
            if s.rfd is not None and s.credit > 0 and len(self.outbuf) < BACKLOG:
                readers[s.rfd] = s
            if s.wfd is not None and s.out:
                writers[s.wfd] = s
        for fd in self.listeners:
            p.register(fd, select.POLLIN)
        for fd in readers.keys() | writers.keys():
            p.register(fd, (select.POLLIN if fd in readers else 0) | (select.POLLOUT if fd in writers else 0))
        for fd, event in p.poll(max(0, limit * 1000)):
            if fd == self.mux.fileno():
                self.on_mux(event)
            elif fd == self.signals.read_end:
                self.on_signals()
            elif fd in self.listeners:
                self.accept(*self.listeners[fd][:2])
            else:
                if fd in writers and event & (select.POLLOUT | select.POLLERR | select.POLLHUP):
                    self.flush(writers[fd])
                if fd in readers and readers[fd].rfd is not None and event & ~select.POLLOUT:
                    self.pump_in(readers[fd])

    def on_mux(self, event):
        if event & select.POLLOUT and self.outbuf:
            try:
                del self.outbuf[:self.mux.send(self.outbuf[:1 << 18])]
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                pass
        if event & (select.POLLIN | select.POLLHUP | select.POLLERR):
            try:
                data = self.mux.recv(1 << 18)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            if not data:
                raise Failure("the emulated host ended before the command did" + self.machine.last_words())
            self.inbuf += data
            self.parse_frames()

    def turn(self, limit, what):
        """Waits until what() holds; False when limit (seconds) or nothing is left."""
        end = time.monotonic() + limit if limit else None
        while not what() and self.status is None:
            if self.deadline.passed():
                raise Failure(f"timeout after {self.deadline.seconds:g} s", TIMEOUT)
            if self.grace and time.monotonic() > self.grace:
                self.status = self.killed_by
                break
            now = time.monotonic()
            if end and now > end:
                return False
            ends = [e - now for e in (end, self.grace, self.deadline.end) if e]
            self.wait(min(ends) + 0.01 if ends else 3600)
        return True

    def go(self, program, argv):
        rows = cols = 0
        if self.terminal:
            rows, cols = struct.unpack("HHHH", fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8)))[:2]
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "USER": "root",
               "TERM": os.environ.get("TERM", "dumb"), "LANG": "C.UTF-8", "PWD": os.getcwd(),
               "AEROSTAT_KVM_HOST": "emulated"}
        if self.o.scratch:
            env["AEROSTAT_SCRATCH"] = "/scratch"
        env.update(kv.split("=", 1) for kv in self.o.env)
        items = [int(time.time()), os.urandom(32).hex(), int(self.terminal), rows, cols, os.getcwd(), program,
                 len(argv), *argv, len(env), *(f"{k}={v}" for k, v in env.items())]
        blob = b"".join(os.fsencode(str(i)) + b"\0" for i in items)
        if len(blob) > 2 << 20:
            raise Failure("COMMAND and its environment are too long")
        self.send(F_GO, 0, blob)

    def drain(self):
        """The command is done: hands its last output over, as long as somebody takes it."""
        while any(s.out and s.wfd is not None and s.sid < FORWARD for s in self.streams.values()):
            if self.deadline.passed() or (self.grace and time.monotonic() > self.grace):
                return
            for s in list(self.streams.values()):
                if s.out and s.sid < FORWARD:
                    self.flush(s)
            busy = [s.wfd for s in self.streams.values() if s.out and s.wfd is not None and s.sid < FORWARD]
            select.select([], busy, [], 0.5) if busy else None
