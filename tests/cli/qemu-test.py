#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""QMP beside QEMU's own: the same requests to both, and the answers compared; and QEMU's client library, where it is there.

usage: qemu-test.py VMM

Where QEMU's qemu-system-x86_64 is not installed, that part is skipped. The library is the package qemu.qmp of the Python that
$AEROSTAT_QMP_PYTHON names (python3).
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

failures = []

# Both say the same, word for word.
SAME = """
{"execute": "query-status"}
{"execute": "qmp_capabilities", "arguments": {"x": 1}}
{"execute": "qmp_capabilities", "arguments": {"enable": 1}}
{"execute": "nosuch"}
{"execute": "qmp_capabilities", "id": "first"}
{"execute": "qmp_capabilities", "id": "second"}
{"execute": "query-status", "id": {"a": [1, null, "x"]}}
{"execute": "query-status", "id": null}
{"execute": "query-status", "id": 1.5}
{"execute": "query-status"}
{"execute": "query-status", "arguments": {"x": 1}}
{"execute": "query-status", "arguments": 1}
{"execute": "query-status", "x": 1}
{"exec-oob": "query-status", "id": 6}
{"execute": 1}
{"id": 5}
{"execute": "nosuch", "id": 7}
[]
1
"x"
{}
{"execute": "balloon", "arguments": {"value": "x"}}
{"execute": "balloon"}
{"execute": "balloon", "arguments": {"value": 1}}
{"execute": "query-balloon"}
{"execute": "query-name"}
{"execute": "query-uuid"}
{"execute": "query-iothreads"}
{"execute": "query-block"}
{"execute": "query-blockstats"}
{"execute": "query-named-block-nodes"}
{"execute": "query-memory-size-summary"}
{"execute": "query-fdsets"}
{"execute": "query-rx-filter"}
{"execute": "x-query-virtio"}
{"execute": "device-list-properties", "arguments": {"typename": "nosuch"}}
{"execute": "device_add", "arguments": {"driver": "virtio-rng-pci", "id": "r0"}}
{"execute": "device_del", "arguments": {"id": "nosuch"}}
{"execute": "x-query-virtio"}
{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "o"}}
{"execute": "object-del", "arguments": {"id": "nosuch"}}
{"execute": "object-del", "arguments": {"id": "o"}}
{"execute": "chardev-add", "arguments": {"id": "c", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "c", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-remove", "arguments": {"id": "nosuch"}}
{"execute": "chardev-remove", "arguments": {"id": "c"}}
{"execute": "netdev_add", "arguments": {"id": "n", "type": "user"}}
{"execute": "set_link", "arguments": {"name": "nosuch", "up": false}}
{"execute": "netdev_del", "arguments": {"id": "nosuch"}}
{"execute": "netdev_del", "arguments": {"id": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "b", "size": 1048576}}
{"execute": "blockdev-del", "arguments": {"node-name": "nosuch"}}
{"execute": "blockdev-del", "arguments": {"node-name": "b"}}
{"execute": "getfd", "arguments": {"fdname": "a"}}
{"execute": "closefd", "arguments": {"fdname": "a"}}
{"execute": "add-fd"}
{"execute": "remove-fd", "arguments": {"fdset-id": 3}}
{"execute": "ringbuf-read", "arguments": {"device": "nosuch", "size": 1}}
{"execute": "human-monitor-command", "arguments": {"command-line": "info status"}}
{"execute": "cont"}
{"execute": "query-status"}
{"execute": "stop"}
{"execute": "system_reset"}
{"execute": "system_powerdown"}
"""

# Of the same shape: what is told here is told there, with the same JSON types; errors are of the same class.
ALIKE = """
{"execute": "query-version"}
{"execute": "query-kvm"}
{"execute": "query-chardev"}
{"execute": "query-chardev-backends"}
{"execute": "query-commands"}
{"execute": "query-machines"}
{"execute": "query-pci"}
{"execute": "qom-list", "arguments": {"path": "/machine"}}
{"execute": "qom-list", "arguments": {"path": "/nosuch"}}
{"execute": "qom-list-types"}
{"execute": "device-list-properties", "arguments": {"typename": "virtio-rng-pci"}}
{"execute": "qom-get", "arguments": {"path": "/machine", "property": "nosuch"}}
{"execute": "qom-get", "arguments": {"path": "/nosuch", "property": "type"}}
{"execute": "device_add", "arguments": {"driver": "nosuch"}}
{"execute": "device_add", "arguments": {"driver": "virtio-rng-pci", "id": "r0"}}
{"execute": "device_add", "arguments": {"driver": "virtio-rng-pci", "nosuch": 1}}
{"execute": "device_add", "arguments": {"driver": "virtio-rng-pci", "bus": "nosuch"}}
{"execute": "object-add", "arguments": {"qom-type": "nosuch", "id": "o"}}
{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "o"}}
{"execute": "query-iothreads"}
{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "o"}}
{"execute": "chardev-add", "arguments": {"id": "c", "backend": {"type": "nosuch", "data": {}}}}
{"execute": "netdev_add", "arguments": {"id": "m", "type": "nosuch"}}
{"execute": "blockdev-add", "arguments": {"driver": "nosuch", "node-name": "b"}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "b", "size": 1048576}}
{"execute": "query-named-block-nodes"}
{"execute": "query-blockstats", "arguments": {"query-nodes": true}}
{"execute": "quit"}
"""

# Told here although QEMU 7.2 does not, or not for that object, or with another value.
MORE = {("query-machines", "is-default"), ("query-named-block-nodes", "dirty-flag"), ("device-list-properties", "default-value"),
        ("device-list-properties", "description"), ("query-commands", "arg-type"), ("query-pci", "desc"),
        ("query-pci", "irq"), ("qom-list", "default-value"), ("query-machines", "alias")}

CLIENT = """
import asyncio, sys
from qemu.qmp import QMPClient, ExecuteError
async def main():
    q = QMPClient('test')
    await q.connect(sys.argv[1])
    assert not (await q.execute('query-status'))['running']
    try:
        await q.execute('device_del', {'id': 'x'})
    except ExecuteError as e:
        assert e.error.error.class_ == 'DeviceNotFound', e
    else:
        assert False
    with q.listener(('RESUME', 'STOP')) as events:
        await q.execute('cont')
        assert (await asyncio.wait_for(events.get(), 60))['event'] == 'RESUME'
        await q.execute('stop')
        assert (await asyncio.wait_for(events.get(), 60))['event'] == 'STOP'
    await q.execute('quit')
    try:
        await q.disconnect()
    except EOFError:
        pass # it was quicker
asyncio.run(main())
"""


def check(what, good, got=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}: {got}")


class Vm:
    def __init__(self, command, path):
        self.child = subprocess.Popen([*command, "-qmp", f"unix:{path},server=on,wait=off"], stdin=subprocess.DEVNULL)
        self.sock, self.text = socket.socket(socket.AF_UNIX), b""
        for _ in range(600):
            try:
                self.sock.connect(path)
                break
            except OSError:
                if self.child.poll() is not None:
                    sys.exit(f"FAILED: {command[0]} ended with status {self.child.returncode}")
                time.sleep(0.1)
        self.sock.settimeout(60)
        self.greeting = self.message()

    def message(self):
        while b"\n" not in self.text:
            try:
                more = self.sock.recv(1 << 16)
            except ConnectionResetError:  # after quit
                more = b""
            if not more:
                return None
            self.text += more
        line, self.text = self.text.split(b"\n", 1)
        return json.loads(line)

    def answers(self, request):
        """What comes up to the answer of a request behind it, or to the end: answers and events, in any order."""
        mark = b"" if '"quit"' in request else b'{"execute": "query-nosuch", "id": "mark"}'
        self.sock.sendall(request.encode() + b"\n" + mark)
        answers, events = [], []
        while (m := self.message()) and m.get("id") != "mark":
            if "event" in m:
                check(f"{m['event']} has a time", set(m.pop("timestamp", ())) == {"seconds", "microseconds"}, m)
                events.append(m)
            else:
                answers.append(m)
        return answers, events


def alike(command, ours, theirs, where):
    """A difference in words, or None; lists are held against each other's members."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if (command, key) in MORE:
                continue
            if key not in theirs:
                return f"{where}.{key} is not QEMU's"
            if key != "desc" and (found := alike(command, value, theirs[key], f"{where}.{key}")):
                return found
        return None
    if isinstance(ours, list) and isinstance(theirs, list):
        if ours and theirs and isinstance(ours[0], dict):
            merged = {key: value for one in theirs for key, value in one.items()}
            return next(filter(None, (alike(command, one, merged, f"{where}[]") for one in ours)), None)
        return None
    return None if type(ours) is type(theirs) else f"{where} is {ours!r}, QEMU's {theirs!r}"


def beside_qemu(vmm):
    common = ["-S", "-nodefaults", "-display", "none"]
    a = Vm([vmm, "-accel", "qtest", *common], "a.sock")
    q = Vm(["qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-net", "none", *common], "q.sock")
    check("the greeting", not alike("", a.greeting, q.greeting, "QMP"), (a.greeting, q.greeting))
    check("out-of-band is not promised", a.greeting["QMP"]["capabilities"] == [], a.greeting)
    our_events, their_events = [], []
    for request in SAME.strip().splitlines():
        (ours, more), (theirs, their_more) = a.answers(request), q.answers(request)
        check(request, ours == theirs, f"\n    {ours}\n    QEMU: {theirs}")
        our_events += more  # a reset is done, and told, a little later
        their_events += their_more
    check("the events", our_events == their_events and len(our_events) == 4, f"\n    {our_events}\n    QEMU: {their_events}")
    for request in ALIKE.strip().splitlines():
        (ours, events), (theirs, their_events) = a.answers(request), q.answers(request)
        difference = len(ours) != 1 or len(theirs) != 1 or alike(json.loads(request)["execute"], ours[0], theirs[0], "answer")
        if ours and "error" in ours[0]:
            difference = difference or ours[0]["error"]["class"] != theirs[0]["error"]["class"]
        check(request, not difference, f"{difference}\n    {str(ours)[:600]}\n    QEMU: {str(theirs)[:600]}")
        check(f"events of {request}", events == their_events, (events, their_events))
    for vm in (a, q):
        check("exit status", vm.child.wait(timeout=60) == 0, vm.child.returncode)


def library(vmm):
    python = os.environ.get("AEROSTAT_QMP_PYTHON", "python3")
    if subprocess.run([python, "-c", "import qemu.qmp"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print(f"skipped: {python} has no qemu.qmp")
        return
    child = subprocess.Popen([vmm, "-accel", "qtest", "-S", "-nodefaults", "-qmp", "unix:l.sock,server=on,wait=off"],
                             stdin=subprocess.DEVNULL)
    for _ in range(600):
        if os.path.exists("l.sock") or child.poll() is not None:
            break
        time.sleep(0.1)
    got = subprocess.run([python, "-c", CLIENT, "l.sock"], stderr=subprocess.PIPE, text=True, timeout=200, check=False)
    check("QEMU's client library", got.returncode == 0, got.stderr)
    if got.returncode:
        child.kill()
    check("exit status", child.wait(timeout=60) == 0 or got.returncode, child.returncode)


def main():
    if len(sys.argv) != 2:
        print(__doc__.splitlines()[2], file=sys.stderr)
        return 2
    vmm = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        if shutil.which("qemu-system-x86_64"):
            beside_qemu(vmm)
        else:
            print("skipped: no qemu-system-x86_64 here")
        library(vmm)
        os.chdir("/")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
