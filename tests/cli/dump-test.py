#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""-dump-config and -dump-schema: what is printed, read back, gives the same again, for every device type; the schema is one,
takes all of that as JSON, and refuses what -check refuses.

usage: dump-test.py VMM CONFIG...
"""

import json
import os
import re
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError:
    jsonschema = None

# Properties without which a type of device or object is refused; a type that needs another is left to the configs.
NEEDED = {"virtio-blk": "drive=disk", "rng-random": "filename=/dev/urandom", "memory-backend-ram": "size=64M",
          "memory-backend-memfd": "size=64M", "memory-backend-file": "size=64M,mem-path=mem", "filter-dump": "netdev=n,file=f",
          "filter-throttle": "netdev=n,bps=1000", "balloon-policy": "device=b"}
BEFORE = ["-drive", "file=disk.img,format=raw,if=none,id=disk", "-device", "virtio-serial"]
NOT_ALONE = ("virtio-balloon", "virtio-serial")
failures = []


def check(what, good, got=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}\n{got}")


def run(vmm, *words, text=None):
    return subprocess.run([vmm, *words], input=text or "", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60)


def values(text):
    return re.sub(r"  #.*", "", text)


def make_disks(path):
    """The files of the file's drives, below the working directory."""
    with open(path, encoding="utf-8") as f:
        for name in re.findall(r'^\s*file = "([^"]*\.img)"', f.read(), re.MULTILINE):
            os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
            with open(name, "wb") as disk:
                disk.truncate(1 << 20)


def as_json(text):
    """The config file as -config's JSON; every value is a text."""
    groups = {}
    for line in values(text).splitlines():
        if m := re.match(r'\[([\w-]+)(?: "(.*)")?\]', line):
            name = m[1]
            groups.setdefault(name, []).append({"id": m[2]} if m[2] else {})
        elif m := re.match(r'  ([\w.-]+) = "(.*)"$', line):
            one = groups[name][-1]
            one[m[1]] = m[2] if m[1] not in one else [*([one[m[1]]] if isinstance(one[m[1]], str) else one[m[1]]), m[2]]
    return groups


def round_trip(vmm, what, words, schema):
    first = run(vmm, "-dump-config", *words)
    check(f"{what}: -dump-config", first.returncode == 0 and not first.stderr, first.stderr)
    again = run(vmm, "-dump-config", "-readconfig", "-", text=first.stdout)
    check(f"{what}: read back", values(again.stdout) == values(first.stdout), first.stdout + again.stdout + again.stderr)
    document = as_json(first.stdout)
    again = run(vmm, "-dump-config", "-config", "-", text=json.dumps(document, indent=1))
    check(f"{what}: as JSON", values(again.stdout) == values(first.stdout), again.stdout + again.stderr)
    if schema:
        faults = [f"{e.json_path}: {e.message}" for e in schema.iter_errors(document)]
        check(f"{what}: the schema takes it", not faults, "\n".join(faults))
    return first.stdout


def types(vmm, option):
    text = run(vmm, option, "help").stdout
    return re.findall(r'^name "([^"]+)"' if option == "-device" else r"^  (\S+) ", text, re.MULTILINE)


def every_type(vmm, schema):
    for name in types(vmm, "-device"):
        plain = re.sub(r"-(pci(-(non-)?transitional)?|device)$", "", name)
        machine = "microvm" if name.endswith("-device") else "pc"
        needed = "".join(f",{v}" for k, v in NEEDED.items() if k == plain)
        before = [w for w in BEFORE if machine == "pc" or "serial" not in w] if machine == "pc" else BEFORE[:2]
        words = ["-M", machine, "-accel", "qtest", *([] if plain in NOT_ALONE else before), "-device", f"{name},id=d{needed}"]
        if plain == "virtio-serial" or name.startswith("virt") and not name.startswith("virtio"):
            words = ["-accel", "qtest", "-M", machine, "-device", "virtio-serial", "-chardev", "null,id=c", "-device",
                     f"{name},id=d" + (",chardev=c" if "virtio" not in name else "")]
        check(f"{name} is in the dump", f'driver = "{name}"' in round_trip(vmm, name, words, schema))
    for name in types(vmm, "-object"):
        words = ["-accel", "qtest", "-netdev", "null,id=n", "-device", "virtio-balloon,id=b", "-object",
                 f"{name},id=o" + "".join(f",{v}" for k, v in NEEDED.items() if k == name)]
        check(f"{name} is in the dump", f'qom-type = "{name}"' in round_trip(vmm, name, words, schema))


def origins(vmm):
    with open("o.cfg", "w") as f:
        f.write('[machine]\n  rtc = "off"\n[memory]\n  size = "64M"\n[device "r"]\n  driver = "virtio-rng"\n  period = "7"\n'
                '[launch]\n  serial = "null"\n')
    got = run(vmm, "-dump-config", "-readconfig", "o.cfg", "-accel", "qtest", "-smp", "2", "-S", "-M", "i8042=off",
              "-device", "virtio-rng,max-bytes=9").stdout
    for line in ('  type = "pc"  # default', '  rtc = "off"  # o.cfg:2', '  i8042 = "off"  # command line',
                 '  pit = "on"  # default', '  size = "64M"  # o.cfg:4', '  cpus = "2"  # command line',
                 '  S = "on"  # command line', '  serial = "null"  # o.cfg:9', '  driver = "virtio-rng"  # o.cfg:6',
                 '  period = "7"  # o.cfg:7', '  max-bytes = "9"  # command line', '  addr = "02.0"  # chosen',
                 '  accel = "qtest"  # command line'):
        check(f"a line {line!r}", line in got.splitlines(), got)
    mapping = '{"driver": "virtio-blk", "drive": "n", "iothread-vq-mapping": [{"iothread": "i"}]}'
    for key, words in (("guest", ["-name", 'a"b']), ("iothread-vq-mapping", [
            "-object", "iothread,id=i", "-blockdev", "null-co,node-name=n", "-device", mapping])):
        got = run(vmm, "-dump-config", "-accel", "qtest", *words)
        check(f"{key} cannot be written", got.returncode == 1 and not got.stdout and got.stderr ==
              f"aerostat: error: -dump-config: a config file cannot hold the value of '{key}'\n", got.stdout + got.stderr)
    got = run(vmm, "-dump-config", "-accel", "qtest", "-device", "foo", "-smp", "0")
    check("faults are printed instead", got.returncode == 1 and not got.stdout and got.stderr.count("\n") == 2, got.stderr)


def tree(vmm):
    words = ["-accel", "qtest", "-device", "virtio-balloon,id=b0"]
    got = run(vmm, "-dump-tree", "dot", *words)
    lines = got.stdout.splitlines()
    check("-dump-tree", got.returncode == 0 and lines[0] == "digraph aerostat {" and lines[-1] == "}", got.stdout + got.stderr)
    for line in ('  "/machine/peripheral/b0" [label="b0: virtio-balloon-pci", shape=box];',
                 '  "/machine/peripheral" -> "/machine/peripheral/b0";',
                 '  "/machine/pci-host/pci.0" [label="pci.0: PCI", shape=ellipse];',
                 '  "/machine/pci-host/pci.0" -> "/machine/peripheral/b0" [style=dashed];'):
        check(f"the tree has {line!r}", line in lines, got.stdout)
    nodes = {m[1] for line in lines if (m := re.match(r'  "([^"]*)" \[label', line))}
    ends = {end for line in lines for end in re.findall(r'"([^"]*)"', line) if " -> " in line}
    check("each edge of the tree is between nodes", ends <= nodes, ends - nodes)
    got = run(vmm, "-dump-tree", "svg", *words)
    check("other formats are refused", got.returncode == 1 and "the only format is dot" in got.stderr, got.stderr)


# Configurations that -check refuses, and the schema, too.
REFUSED = [
    {"memroy": {"size": "1G"}},
    {"memory": {"siez": "1G"}},
    {"memory": {}},
    {"machine": {"type": "pcc"}},
    {"machine": {"rct": True}},
    {"machine": {"rtc": "maybe"}},
    {"device": {"id": "d"}},
    {"device": [{"driver": "virtio-baloon"}]},
    {"device": [{"driver": "virtio-balloon", "deflate-on-om": True}]},
    {"device": [{"driver": "virtio-blk", "drive": "d", "num-queues": -1}]},
    {"object": {"qom-type": "rng-builtin"}},
    {"chardev": {"id": "c"}},
    {"launch": {"S": None}},
]


def refused(vmm, schema):
    for document in REFUSED:
        got = run(vmm, "-check", "-accel", "qtest", "-config", "-", text=json.dumps(document))
        check(f"-check refuses {document}", got.returncode == 1, got.stderr)
        if schema:
            check(f"the schema refuses {document}", not schema.is_valid(document))


def main():
    if len(sys.argv) < 3:
        print(__doc__.splitlines()[-2], file=sys.stderr)
        return 2
    vmm, configs = os.path.abspath(sys.argv[1]), [os.path.abspath(p) for p in sys.argv[2:]]
    got = run(vmm, "-dump-schema")
    schema = None
    if jsonschema:
        jsonschema.Draft202012Validator.check_schema(json.loads(got.stdout))
        schema = jsonschema.Draft202012Validator(json.loads(got.stdout))
    else:
        print("skipped: the schema is not tried: no Python module jsonschema")
        json.loads(got.stdout)
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        with open("disk.img", "wb") as f:
            f.truncate(1 << 20)
        for path in configs:
            make_disks(path)
            round_trip(vmm, path, ["-readconfig", path, "-accel", "qtest", "-append", ""], schema)
        every_type(vmm, schema)
        for words in (["-netdev", "user,id=n,hostfwd=tcp::5022-:22,hostfwd=tcp::5080-:80,ipv6=off"], ["-nic", "none"], ["-nic", "user"],
                      ["-device", "virtio-net,id=card"],
                      ["-blockdev", "raw,node-name=n,file.driver=null-co,file.size=64M", "-device", "virtio-blk,drive=n"],
                      ["-blockdev", '{"driver": "null-co", "node-name": "n", "size": 1048576, "read-only": true}'],
                      ["-qmp", "null", "-qmp-pretty", "null", "-chardev", "null,id=c", "-mon", "c,mode=control,pretty=on"],
                      ["-drive", "file=disk.img,format=raw", "-drive", "file=logs.img,format=raw,if=virtio"]):
            round_trip(vmm, " ".join(words), ["-accel", "qtest", *words], schema)
        origins(vmm)
        tree(vmm)
        refused(vmm, schema)
        os.chdir("/")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
