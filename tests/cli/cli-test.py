#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-2-Clause
"""The command line from outside: what bad input gets, and the help texts.

A bad command line gets exactly one line on stderr, nothing on stdout, exit status 1, and leaves no socket or pid file.
Rows of `unit` fail before KVM is opened, or print a text; rows of `kvm` need a /dev/kvm that opens.

usage: cli-test.py unit|kvm VMM
"""

import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

SKIP = 77
LONG = "x" * 120
NO_EVENT = "no event matches 'nosuch'; see -trace help"
RAM_RANGE = "-m: machine 'pc' takes 16 MiB to 1024 GiB of memory"

# Words of the command line; what stderr says after "aerostat: error: ". A text between slashes is a regular expression.
UNIT = [
    # the kernel and the initial RAM disk
    ("", "machine 'pc' has no firmware: give a kernel with -kernel FILE (a Linux bzImage or an uncompressed vmlinux)"),
    ("-kernel missing", "-kernel missing: cannot open: No such file or directory"),
    ("-kernel dir", "-kernel dir: is a directory; a file is needed"),
    ("-kernel empty", "/-kernel empty: .*empty.*/"),
    ("-kernel /dev/null", "-kernel /dev/null: is not a regular file"),
    ("-kernel fifo", "-kernel fifo: is not a regular file"),
    ("-kernel text", "-kernel text: neither a bzImage nor an uncompressed ELF vmlinux of x86_64"),
    ("-kernel elf32", "/-kernel elf32: .*/"),
    ("-kernel cut", "/-kernel cut: .*/"),
    ("-kernel tiny -initrd missing", "-initrd missing: cannot open: No such file or directory"),
    ("-kernel tiny -initrd dir", "-initrd dir: is a directory; a file is needed"),
    ("-kernel tiny -initrd /dev/null", "-initrd /dev/null: is not a regular file"),
    # memory and processors
    ("-m 0", "-m 0: the memory size must not be 0; give for example 512M"),
    ("-m 0M", "-m 0M: the memory size must not be 0; give for example 512M"),
    ("-m nonsense", "-m nonsense: 'nonsense' is not a size (as in 4096, 512M or 1.5G)"),
    ("-m 512X", "/-m 512X: '512X' is not a size.*/"),
    ("-m -5", "-m -5: '-5' is negative"),
    ("-m 99999999T", "-m 99999999T: '99999999T' is too large"),
    ("-m 4", RAM_RANGE),
    ("-m 4000T", RAM_RANGE),
    ("-m 1000000k -kernel tiny", "-m: the memory size must be a multiple of 1 MiB"),
    ("-m 512,slots=2", "-m 512,slots=2: unknown 'slots'; known: size"),
    ("-smp 0", "-smp: machine 'pc' takes 1 to 64 vCPUs"),
    ("-smp 100000", "-smp: machine 'pc' takes 1 to 64 vCPUs"),
    ("-smp 300", "-smp: machine 'pc' takes 1 to 64 vCPUs"),
    ("-smp two", "-smp two: 'two' is not a number"),
    ("-smp 2,sockets=2", "-smp 2,sockets=2: sockets=2: a guest has one socket, of cores with one thread each; give cores= "
     "only"),
    ("-smp cores=2,threads=2", "/-smp cores=2,threads=2: threads=2: a guest has one socket, .*/"),
    ("-smp 2,cores=3", "-smp 2,cores=3: cores=3 must be the number of vCPUs, 2"),
    ("-smp 2,maxcpus=3", "-smp 2,maxcpus=3: maxcpus=3 must be the number of vCPUs, 2: none can be added later"),
    ("-smp 2,cores=0", "-smp 2,cores=0: cores must not be 0"),
    ("-smp 2,core=2", "-smp 2,core=2: unknown 'core'; known: cpus, cores, sockets, dies, clusters, threads, maxcpus"),
    ("-smp sockets=1", "-smp sockets=1: give a number of vCPUs, such as 2"),
    ("-boot c", "-boot c: there is no firmware that looks for something to boot: give -kernel"),
    ("-uuid x", "-uuid x: 'x' is not a UUID (as in 550e8400-e29b-41d4-a716-446655440000)"),
    ("-M uuid=x", "/-M: property 'uuid' of pc-machine: 'x' is not a UUID .*/"),
    ("-rtc bass=utc", "-rtc bass=utc: unknown 'bass'; known: base, clock, driftfix"),
    ("-rtc driftfix=slew", "-rtc driftfix=slew: driftfix=slew is not served; known: none"),
    ("-rtc clock=rt -accel qtest", "-rtc: property 'clock' of mc146818rtc: 'rt' is not one of: host, vm"),
    ("-readconfig rtc.cfg -accel qtest", "rtc.cfg:2: property 'clock' of mc146818rtc: 'rt' is not one of: host, vm"),
    ("-M pc,dumpdtb=x", "-M: unknown property 'dumpdtb' of pc-machine; '-M pc,help' lists all"),
    ("-device virtconsole -accel qtest",
     "-device virtconsole: machine 'pc' has no free virtio-serial-bus bus for virtconsole: put -device virtio-serial before "
     "it"),
    ("-M microvm -accel qtest -device virtio-rng-pci",
     "-device virtio-rng-pci: machine 'microvm' has no free PCI bus for virtio-rng-pci: use virtio-rng, which is a device of "
     "a virtio-mmio window here"),
    ("-accel qtest -device virtio-rng-device",
     "-device virtio-rng-device: machine 'pc' has no free virtio-bus bus for virtio-rng-device: use virtio-rng, which is a "
     "PCI device here"),
    ("-accel qtest -device virtio-rng,nonsense=1",
     "-device virtio-rng: unknown property 'nonsense' of virtio-rng-pci; '-device virtio-rng,help' lists all"),
    # machine, accelerator, CPU, display
    ("-M foo", "-M: unknown machine 'foo'; '-M help' lists all"),
    ("-M pcc", "-M: unknown machine 'pcc'; did you mean 'pc'?"),
    ("-M foo,help", "-M: unknown machine 'foo'; '-M help' lists all"),
    ("-M pc,nonsense=on", "-M: unknown property 'nonsense' of pc-machine; '-M pc,help' lists all"),
    ("-M pc,rct=off", "-M: unknown property 'rct' of pc-machine; did you mean 'rtc'?"),
    ("-M pc,rtc=maybe", "-M: property 'rtc' of pc-machine: 'maybe' is neither 'on' nor 'off'"),
    ("-accel tcg", "-accel tcg: unknown accelerator 'tcg'; known: kvm, qtest"),
    ("-M pc,accel=tcg", "-M pc,accel=tcg: unknown accelerator 'tcg'; known: kvm, qtest"),
    ("-accel kvm,devise=x", "-accel kvm: unknown property 'devise' of kvm-accel; did you mean 'device'?"),
    ("-accel qtest,device=x", "-accel qtest: unknown property 'device' of qtest-accel"),
    ("-kernel tiny -serial null -accel kvm,device=missing", "/-accel kvm: missing does not exist.*/"),
    ("-kernel tiny -serial null -accel kvm,device=/dev/null -M accel=kvm", "/-accel kvm: /dev/null .*/"),
    ("-cpu qemu64", "-cpu qemu64: unknown CPU model 'qemu64'; known: host"),
    ("-display gtk", "-display gtk: there is no display 'gtk'; known: none"),
    # debuggers
    ("-s -accel qtest", "-gdb: the accelerator runs no vCPUs: there is nothing to debug"),
    ("-gdb tcp::1 -M none", "-gdb: the accelerator runs no vCPUs: there is nothing to debug"),
    ("-check -s -accel qtest", "-gdb: the accelerator runs no vCPUs: there is nothing to debug"),
    ("-check -kernel tiny -gdb tcp:0.0.0.0:1234", "/-gdb tcp:0.0.0.0:1234,.*: '0.0.0.0' is no loopback address: .*/"),
    ("-check -kernel tiny -gdb udp::1", "/-gdb udp::1: unknown kind 'udp'.*/"),
    ("-gdb", "-gdb: needs an argument: STREAM"),
    # options as such
    ("-frobnicate", "-frobnicate: unknown option; '-help' lists all"),
    ("-initd x", "-initd: unknown option; did you mean '-initrd'?"),
    ("--initd x", "--initd: unknown option; did you mean '-initrd'?"),
    ("disk.img", "disk.img: options begin with '-'; a disk or kernel image needs its option"),
    ("-m", "-m: needs an argument: SIZE"),
    ("-kernel", "-kernel: needs an argument: FILE"),
    ("-append", "-append: needs an argument: TEXT"),
    ("-device", "-device: needs an argument: TYPE[,prop=value...]"),
    ("-device ,x=1", "-device ,x=1: empty word between commas; the form is name=value,name=value"),
    ("-device {", "/-device {: not a JSON object: .*/"),
    ("-device virtio-baloon,help",
     "-device virtio-baloon: unknown device 'virtio-baloon'; did you mean 'virtio-balloon'?"),
    ("-device foo,help", "-device foo: unknown device 'foo'; '-device help' lists all"),
    ("-name a,b=c", "-name a,b=c: unknown 'b'; known: guest, debug-threads"),
    ("-trace nosuch", f"-trace nosuch: {NO_EVENT}"),
    ("-d nosuch", "-d nosuch: unknown log item 'nosuch'; see -d help"),
    ("-d guest_error", "-d guest_error: unknown log item 'guest_error'; did you mean 'guest_errors'?"),
    ("-D missing/log", "-D missing/log: cannot open: No such file or directory"),
    # streams of the serial port, which is made first
    ("-kernel tiny -serial foo", "/-serial foo: unknown kind 'foo'; one of stdio, .*/"),
    ("-kernel tiny -serial stdoi", "/-serial stdoi: unknown kind 'stdoi'; did you mean 'stdio'\\?.*/"),
    ("-kernel tiny -serial file:", "-serial file:: the path is missing: file:PATH"),
    ("-kernel tiny -serial file:missing/x", "-serial file:missing/x: cannot open: No such file or directory"),
    ("-kernel tiny -serial file:dir", "-serial file:dir: cannot open: Is a directory"),
    ("-kernel tiny -serial unix:s,sever=on", "-serial unix:s,sever=on: unknown setting 'sever'; did you mean 'server'?"),
    ("-kernel tiny -serial unix:missing/s,server=on,wait=off",
     "-serial unix:missing/s,server=on,wait=off: cannot make the socket: No such file or directory"),
    (f"-kernel tiny -serial unix:{LONG},server=on,wait=off",
     f"-serial unix:{LONG},server=on,wait=off: the path is longer than 107 bytes"),
    ("-kernel tiny -serial unix:taken,server=on,wait=off",
     "-serial unix:taken,server=on,wait=off: address in use: another process listens there"),
    ("-kernel tiny -serial unix:text,server=on,wait=off", "/-serial unix:text,server=on,wait=off: .*/"),
    ("-kernel tiny -serial unix:missing", "/-serial unix:missing: .*No such file or directory/"),
    ("-kernel tiny -serial null -serial null", "-serial null: the machine has 1 serial port"),
    ("-kernel tiny -daemonize -gdb stdio", "-gdb stdio: -daemonize has no terminal; use unix:PATH,server=on"),
    ("-kernel tiny -daemonize -serial stdio", "-serial stdio: -daemonize has no terminal; use a file or a socket"),
    # memory from an object
    ("-accel qtest -m 32 -M memory-backend=r",
     "memory-backend=r: there is no -object memory-backend-ram, -memfd or -file with that id"),
    ("-accel qtest -m 32 -object memory-backend-ram,id=r,size=64M -M memory-backend=r",
     "-m: the machine has 32 MiB and memory-backend=r 64 MiB; give both the same"),
    ("-accel qtest -object memory-backend-ram,id=r,size=4M -M memory-backend=r",
     "-m: machine 'pc' takes 16 MiB to 1024 GiB of memory"),
    ("-accel qtest -m 32 -mem-path nowhere/ram", "-mem-path: cannot open nowhere/ram: No such file or directory"),
    ("-accel qtest -m 32 -mem-path dir -object memory-backend-ram,id=r,size=32M -M memory-backend=r",
     "-mem-path and -M memory-backend=r exclude each other"),
    ("-accel qtest -m 32 -mem-path", "-mem-path: needs an argument: PATH"),
    ("-accel qtest -object balloon-policy,id=p", "-object balloon-policy: device is missing: give the id of a virtio-balloon"),
    ("-accel qtest -object balloon-policy,id=p,device=b", "/-object balloon-policy: .*'b' not found/"),
    ("-accel qtest -object memory-backend-file,id=r,size=64M",
     "-object memory-backend-file: mem-path is missing: a file, or a directory to make one in"),
    ("-accel qtest -device virtio-balloon,free-page-hint=on",
     "/-device virtio-balloon: .*free-page-hint.* migration alone.*/"),
    # config files: what is found while they are read, and what is found when their things are made
    ("-readconfig missing", "-readconfig missing: cannot open: No such file or directory"),
    ("-readconfig tiny", "tiny:1: this is not text (UTF-8)"),
    ("-readconfig text", "text:1: a line is key = \"value\", [group], [group \"id\"] or # comment"),
    ("-readconfig group.cfg", "group.cfg:3: unknown group 'memroy'; did you mean 'memory'?"),
    ("-readconfig machine.cfg", "machine.cfg:3: unknown property 'rct' of pc-machine; did you mean 'rtc'?"),
    ("-readconfig machine.cfg -M rtc=maybe,rct=1",
     "-M: unknown property 'rct' of pc-machine; did you mean 'rtc'?"),
    ("-readconfig accel.cfg", "accel.cfg:2: unknown property 'devise' of kvm-accel; did you mean 'device'?"),
    ("-readconfig object.cfg -accel qtest", "/object.cfg:2: object 'r': .*filename.*/"),
    ("-readconfig chardev.cfg -accel qtest", "/chardev.cfg:1: chardev 'c': cannot open: No such file or directory/"),
    ("-readconfig device.cfg -accel qtest",
     "device.cfg:4: device 'b': unknown property 'deflate-on-om' of virtio-balloon-pci; did you mean 'deflate-on-oom'?"),
    ("-readconfig device.cfg -accel qtest -device virtio-rng,id=b", "/device.cfg:4: .*/"),
    ("-readconfig mon.cfg -accel qtest", "mon.cfg:1: chardev 'c' not found"),
    ("-readconfig drive.cfg -accel qtest", "drive.cfg:1: drive 'd': file=missing: could not open 'missing': No such file or "
     "directory"),
    ("-mon chardev=c -accel qtest", "-mon chardev=c: chardev 'c' not found"),
    ("-serial chardev:c -accel qtest", "-serial chardev:c: chardev 'c' not found"),
    ("-device virtio-serial -device virtconsole,chardev=c -accel qtest",
     "-device virtconsole: property 'chardev' of virtconsole: chardev 'c' not found"),
    ("-append x -accel qtest", "-append: there is no kernel to pass it to: give -kernel FILE"),
    ("-initrd x -accel qtest", "-initrd: there is no kernel to pass it to: give -kernel FILE"),
    ("-M append=x -accel qtest", "-append: there is no kernel to pass it to: give -kernel FILE"),
    ("-readconfig append.cfg -accel qtest", "append.cfg:2: there is no kernel to pass it to: give -kernel FILE"),
    ("-readconfig kernel.cfg", "kernel.cfg:2: kernel missing: cannot open: No such file or directory"),
    ("-readconfig cpus.cfg -accel qtest", "cpus.cfg:4: machine 'pc' takes 1 to 64 vCPUs"),
    ("-readconfig include.cfg", "sub/memory.cfg:2: '512X' is not a size (as in 4096, 512M or 1.5G)"),
    ("-readconfig ./cycle.cfg", "./cycle.cfg:2: include ./cycle.cfg: the file includes itself"),
    ("-readconfig cycle.cfg", "cycle.cfg:2: include ./cycle.cfg: the file includes itself"),
    ("-readconfig global.cfg -accel qtest -device virtio-balloon",
     "-device virtio-balloon: global.cfg:1: property 'deflate-on-oom' of virtio-balloon-pci: 'maybe' is neither 'on' "
     "nor 'off'"),
    ("-global virtio-balloon-pci.deflate-on-om=on",
     "-global virtio-balloon-pci.deflate-on-om=on: unknown property 'deflate-on-om' of virtio-balloon-pci; did you mean "
     "'deflate-on-oom'?"),
    ("-global pc-machine.rtc=on", "-global pc-machine.rtc=on: unknown device type 'pc-machine'; '-device help' lists all"),
    ("-mon chardev=c,pretty=maybe", "-mon chardev=c,pretty=maybe: pretty: 'maybe' is neither 'on' nor 'off'"),
    ("-accel qtest -qmp-pretty udp:1", "/-qmp-pretty udp:1: unknown kind 'udp'.*/"),
    # what -check finds without opening or making anything
    ("-check -accel qtest -netdev user,id=n,hostfwd=x",
     "-netdev user,id=n: hostfwd='x': the form is tcp|udp:[HOST]:PORT-[GUEST]:PORT"),
    ("-check -accel qtest -netdev user,id=n,net=10.0.2.0/24,dns=1.2.3.4",
     "-netdev user,id=n: dns=1.2.3.4: not an address of the network"),
    ("-check -accel qtest -netdev tap,id=n,ifname=a-name-that-is-too-long",
     "-netdev tap,id=n: ifname=a-name-that-is-too-long: the name is longer than 15 bytes"),
    ("-check -accel qtest -netdev tap,id=n,queues=2,vhost=on,vhostfd=3",
     "-netdev tap,id=n: vhostfd= is of one queue pair; several need fds= and vhostfds="),
    ("-check -accel qtest -netdev socket,id=n", "-netdev socket,id=n: give one of listen=, connect=, mcast=, udp= and fd="),
    ("-check -accel qtest -netdev socket,id=n,listen=:70000", "-netdev socket,id=n: '70000' is not a port (0 to 65535)"),
    ("-check -accel qtest -netdev stream,id=n,addr.type=unix", "-netdev stream,id=n: 'addr.path' is missing"),
    ("-check -accel qtest -netdev dgram,id=n,remote.type=fd,remote.str=3",
     "-netdev dgram,id=n: 'remote.type' is inet or unix, not 'fd'"),
    ("-check -accel qtest -netdev hubport,id=n", "-netdev hubport,id=n: 'hubid' is missing: the number of the hub"),
    ("-check -accel qtest -nic tap,model=foo", "/-nic tap.*foo.*/"),
    ("-check -accel qtest -netdev null,id=n -object filter-dump,id=f,netdev=n",
     "-object filter-dump: 'file' is missing: where to write to"),
    ("-check -accel qtest -netdev null,id=n -object filter-dump,id=f,netdev=n,file=missing/f",
     "-object filter-dump: cannot write missing/f: there is no folder 'missing'"),
    ("-check -accel qtest -object memory-backend-file,id=r,size=64M,mem-path=missing/x",
     "-object memory-backend-file: mem-path=missing/x: there is no folder 'missing'"),
    ("-check -accel qtest -object memory-backend-file,id=r,size=64M,mem-path=large,readonly=on,offset=64M",
     "-object memory-backend-file: large has 104857600 bytes, and 134217728 are wanted"),
    ("-check -accel qtest -object memory-backend-ram,id=r,size=64M,prealloc=on -M memory-backend=r -m 32",
     "-m: the machine has 32 MiB and memory-backend=r 64 MiB; give both the same"),
    ("-check -accel qtest -readconfig ram.cfg",
     "ram.cfg:2: memory-backend=r: there is no -object memory-backend-ram, -memfd or -file with that id"),
    ("-accel qtest -readconfig ram.cfg",
     "ram.cfg:2: memory-backend=r: there is no -object memory-backend-ram, -memfd or -file with that id"),
    ("-check -accel qtest -pidfile missing/pid", "-pidfile missing/pid: there is no folder 'missing'"),
    ("-check -accel qtest -D missing/log", "-D missing/log: there is no folder 'missing'"),
    ("-check -accel qtest -D dir", "-D dir: cannot open: Is a directory"),
    ("-check -accel qtest -qmp tcp:127.0.0.1:70000,server=on",
     "-qmp tcp:127.0.0.1:70000,server=on: '70000' is not a port (0 to 65535)"),
    ("-check -accel qtest -chardev socket,id=c,host=10.0.0.1,port=1,server=on",
     "/-chardev socket: '10.0.0.1' is no loopback address: .*/"),
    ("-global nothing", "-global nothing: unknown 'nothing'; known: driver, property, value"),
    ("-global a=b", "-global a=b: unknown 'a'; known: driver, property, value"),
]

# What -check finds in faults.cfg, in this order.
FAULTS = """[machine]
  rct = "on"
  i8042 = "maybe"
  kernel = "missing"
  initrd = "alsomissing"
[memory]
  size = "4"
[smp-opts]
  cpus = "0"
[object "r"]
  qom-type = "rng-random"
  filename = "/missing"
[device "r0"]
  driver = "virtio-rng"
  rng = "r"
  max-bytes = "x"
  vectros = "1"
[chardev "c"]
  backend = "file"
  path = "nodir/x"
[mon]
  chardev = "c"
[mon]
  chardev = "d"
[device "b0"]
  driver = "virtio-balloon"
  addr = "3"
[device "b1"]
  driver = "virtio-rng"
  addr = "3"
[drive "d0"]
  file = "nodisk"
  format = "raw"
[device "disk"]
  driver = "virtio-blk"
  drive = "d0"
oops
[memroy]
  size = "x"
"""
FOUND = """\
faults.cfg:37: a line is key = "value", [group], [group "id"] or # comment
faults.cfg:38: unknown group 'memroy'; did you mean 'memory'?
-frob: unknown option; '-help' lists all
faults.cfg:2: unknown property 'rct' of pc-machine; did you mean 'rtc'?
faults.cfg:3: property 'i8042' of pc-machine: 'maybe' is neither 'on' nor 'off'
faults.cfg:7: machine 'pc' takes 16 MiB to 1024 GiB of memory
faults.cfg:9: machine 'pc' takes 1 to 64 vCPUs
faults.cfg:4: kernel missing: cannot open: No such file or directory
faults.cfg:5: initrd alsomissing: cannot open: No such file or directory
faults.cfg:10: object 'r': cannot open filename=/missing: No such file or directory
faults.cfg:31: drive 'd0': file=nodisk: could not open 'nodisk': No such file or directory
faults.cfg:18: chardev 'c': there is no folder 'nodir'
faults.cfg:16: device 'r0': property 'max-bytes' of virtio-rng-pci: 'x' is not a number
faults.cfg:17: device 'r0': unknown property 'vectros' of virtio-rng-pci; did you mean 'vectors'?
faults.cfg:28: device 'b1': 'b1' (virtio-rng-pci) cannot have address 03.0 of pci.0: 'b0' (virtio-balloon-pci) has it
-device foo: unknown device 'foo'; '-device help' lists all
-device virtio-rng: property 'rng' of virtio-rng-pci: rng-backend 'zz' not found
-qmp udp:x: unknown kind 'udp'; one of stdio, mon:stdio, null, file:PATH, unix:PATH[,server=on|off][,wait=on|off], tcp:HOST:PORT[,server=on|off], pipe:PATH, pty
faults.cfg:23: chardev 'd' not found
"""

# Command lines that -check finds nothing wrong with: it needs no KVM, and makes and opens nothing that others see.
CHECKED_GOOD = [
    "-kernel tiny -qmp unix:q,server=on -serial unix:taken,server=on -monitor pty -pidfile made -daemonize",
    "-kernel tiny -device virtio-balloon -device virtio-rng,addr=5 -chardev file,id=c,path=made -mon c",
    "-accel qtest -drive file=text,format=raw -drive file=empty,format=raw",
    "-readconfig good.cfg",
    "-accel qtest -smp sockets=1,cores=4,threads=1,maxcpus=4 -uuid 550E8400-e29b-41d4-a716-446655440000 -rtc base=utc",
    "-accel qtest -smp 4,sockets=1 -rtc clock=vm,driftfix=none -qmp tcp:127.0.0.1:1,server=on",
    "-accel qtest -m 64 -object memory-backend-file,id=r,size=64M,mem-path=made,share=on,prealloc=on -M memory-backend=r",
    "-accel qtest -m 64 -object memory-backend-file,id=r,size=64M,mem-path=large,share=on -M memory-backend=r",
    "-accel qtest -object memory-backend-file,id=r,size=64M,mem-path=dir -object memory-backend-memfd,id=m,size=8G,hugetlb=on",
    "-accel qtest -netdev null,id=n -object filter-dump,id=f,netdev=n,file=made -D made",
    "-kernel tiny -netdev tap,id=n,ifname=none -netdev socket,id=s,listen=:0 -netdev user,id=u,hostfwd=tcp::1-:1",
    "-kernel tiny -netdev user,id=u,guestfwd=tcp:10.0.2.100:1-chardev:c -chardev file,id=c,path=made",
    "-kernel tiny -qtest unix:missing/x,server=on -accel qtest",
]

# Config files of the rows above.
CONFIGS = {
    "group": '[machine]\n\n[memroy]\n',
    "machine": '[machine]\n  type = "pc"\n  rct = "off"\n',
    "accel": '[accel]\n  devise = "x"\n  accel = "kvm"\n',
    "object": '# a source\n[object "r"]\n  qom-type = "rng-random"\n  filename = "/missing"\n',
    "chardev": '[chardev "c"]\n  backend = "file"\n  path = "missing/x"\n',
    "device": '\n[device "b"]\n  driver = "virtio-balloon"\n  deflate-on-om = "on"\n',
    "drive": '[drive "d"]\n  file = "missing"\n  format = "raw"\n',
    "append": '[machine]\n  append = "x"\n',
    "faults": FAULTS,
    "ram": '[machine]\n  memory-backend = "r"\n',
    "rtc": '[rtc]\n  clock = "rt"\n',
    "kernel": '[machine]\n  kernel = "missing"\n',
    "cpus": '[machine]\n\n[smp-opts]\n  cpus = "0"\n',
    "include": '[include]\n  file = "sub/memory.cfg"\n',
    "sub/memory": '[memory]\n  size = "512X"\n',
    "cycle": '[include]\n  file = "./cycle.cfg"\n',
    "global": '[global]\n  driver = "virtio-balloon-pci"\n  property = "deflate-on-oom"\n  value = "maybe"\n',
    "good": '[machine]\n  kernel = "tiny"\n  append = "quiet"\n[device "d"]\n  driver = "virtio-rng"\n',
    "mon": '[mon]\n  chardev = "c"\n',
}

KVM = [
    # the initial RAM disk, once it is known where the kernel goes
    ("-m 64 -initrd large", "/-initrd large: .*/"),
    ("-kernel high -m 64", "/-kernel high: needs RAM up to .*; give it more with -m/"),
    # devices
    ("-device foo", "-device foo: unknown device 'foo'; '-device help' lists all"),
    ("-device virtio-baloon", "-device virtio-baloon: unknown device 'virtio-baloon'; did you mean 'virtio-balloon'?"),
    ("-device pci-host", "-device pci-host: 'pci-host' is part of the machine and cannot be made by the user"),
    ("-device virtio-balloon,deflate-on-om=on",
     "-device virtio-balloon: unknown property 'deflate-on-om' of virtio-balloon-pci; did you mean 'deflate-on-oom'?"),
    ("-device virtio-balloon,deflate-on-oom=maybe",
     "-device virtio-balloon: property 'deflate-on-oom' of virtio-balloon-pci: 'maybe' is neither 'on' nor 'off'"),
    ("-device virtio-balloon,guest-stats=1", "/-device virtio-balloon: property 'guest-stats' of .*/"),
    ("-device virtio-balloon,addr=99",
     "-device virtio-balloon: property 'addr' of virtio-balloon-pci: '99' is not a PCI address (slot.function in hex, "
     "00.0 to 1f.7)"),
    ("-device isa-debug-exit,iosize=9", "/-device isa-debug-exit: property 'iosize' of isa-debug-exit: .*1 to 4.*/"),
    ("-device virtio-balloon,id=a -device isa-debug-exit,id=a", "-device isa-debug-exit: duplicate id 'a'"),
    ("-device virtio-balloon,id=1a",
     "-device virtio-balloon: id '1a' must be letters, digits, '-', '.', '_', beginning with a letter"),
    ("-device virtio-balloon,id=", "/-device virtio-balloon: id '' must be letters, digits, .*/"),
    ("-device virtio-balloon -device virtio-balloon", "/-device virtio-balloon: only one balloon device is supported.*/"),
    ("-device virtio-balloon,bus=nope", "-device virtio-balloon: there is no bus 'nope'"),
    ("-device virtio-balloon-device", "/-device virtio-balloon-device: machine 'pc' has no free .* bus .*/"),
    ("-device virtio-balloon,addr=3 -device virtio-balloon,addr=3", "/-device virtio-balloon: .*/"),
    ("-gdb chardev:c", "-gdb chardev:c: chardev 'c' not found"),
    ("-gdb unix:taken,server=on", "-gdb unix:taken,server=on,wait=off: address in use: another process listens there"),
    # monitors and the pid file, which are made last
    ("-qmp tcp:1234", "-qmp tcp:1234: the port is missing: tcp:HOST:PORT"),
    ("-qmp tcp:", "-qmp tcp:: the address is missing: tcp:HOST:PORT"),
    ("-qmp tcp::4444,server=on,wait=off", "-qmp tcp::4444,server=on,wait=off: the host is missing: tcp:127.0.0.1:PORT"),
    ("-qmp tcp:0.0.0.0:4444,server=on,wait=off", "/.*: '0.0.0.0' is no loopback address: whoever connects is trusted, .*/"),
    ("-qmp unix:missing/s,server=on,wait=off",
     "-qmp unix:missing/s,server=on,wait=off: cannot make the socket: No such file or directory"),
    (f"-qmp unix:{LONG},server=on,wait=off", f"-qmp unix:{LONG},server=on,wait=off: the path is longer than 107 bytes"),
    ("-qmp unix:taken,server=on,wait=off",
     "-qmp unix:taken,server=on,wait=off: address in use: another process listens there"),
    ("-monitor foo", "/-monitor foo: unknown kind 'foo'; .*/"),
    ("-pidfile missing/pid", "-pidfile missing/pid: cannot open: No such file or directory"),
    ("-pidfile dir", "-pidfile dir: cannot open: Is a directory"),
    ("-daemonize -pidfile missing/pid", "-pidfile missing/pid: cannot open: No such file or directory"),
    ("-serial unix:made,server=on,wait=off -qmp unix:made2,server=on,wait=off -pidfile missing/pid",
     "-pidfile missing/pid: cannot open: No such file or directory"),
]

# Words of the command line; regular expressions that its output must hold.
HELP = [
    ("-help", ["^usage: aerostat", "^  -kernel FILE ", "^  -device TYPE"]),
    ("-help", [r"^  -readconfig FILE  +take options from a file"]),
    ("-dump-schema", ['"virtio-balloon-pci": {', '"deflate-on-oom": {']),
    ("-dump-config -accel qtest -m 64", [r'^  size = "64M"  # command line$', r'^  type = "pc"  # default$']),
    ("-h", ["^usage: aerostat"]),
    ("--help", ["^usage: aerostat"]),
    ("-version", [r"^Aerostat version \d+\.\d+\.\d+$"]),
    ("-device help", ['^name "virtio-balloon-pci", bus PCI, alias "virtio-balloon"', '^name "isa-debug-exit"']),
    ("-device virtio-balloon,help", ["^virtio-balloon-pci options:$", r"^  deflate-on-oom=<bool> .*\(default: off\)",
                                     "^  guest-stats-polling-interval=<int> "]),
    ("-device isa-debug-exit,help", ["^isa-debug-exit options:$", "^  iobase=<uint32> "]),
    ("-M help", ["^pc .*(default)"]),
    ("-M pc,help", ["^pc-machine options:$", "^  rtc=<bool> ", "^  i8042=<bool> "]),
    ("-trace help", ["^virtio_balloon_", "^kvm_"]),
    ("-d help", ["^guest_errors"]),
    ("-accel help", ["^kvm$"]),
    ("-cpu help", ["^  host "]),
]


class Test:
    def __init__(self, vmm):
        self.vmm, self.failures, self.count = vmm, 0, 0

    def run(self, words, **more):
        return subprocess.run([self.vmm] + words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, errors="replace", **more)

    def check(self, what, problem, got):
        self.count += 1
        if problem:
            self.failures += 1
            print(f"FAILED: aerostat {what}: {problem}\n    status {got.returncode}, stderr: {got.stderr.rstrip()!r}, "
                  f"stdout: {got.stdout[:200]!r}")

    def bad(self, what, expected, got, before):
        line = got.stderr
        says = line.removeprefix("aerostat: error: ").rstrip("\n")
        problem = None
        left = sorted(set(os.listdir()) - before)
        if got.returncode != 1:
            problem = "status is not 1"
        elif line.count("\n") != 1 or not line.endswith("\n"):
            problem = "not exactly one line on stderr"
        elif got.stdout:
            problem = "something on stdout"
        elif not line.startswith("aerostat: error: "):
            problem = "not an error line"
        elif expected[:1] == "/" == expected[-1:] and not re.fullmatch(expected[1:-1], says):
            problem = f"expected {expected}"
        elif expected[:1] != "/" and says != expected:
            problem = f"expected {expected!r}"
        elif left:
            problem = f"left behind: {' '.join(left)}"
        self.check(what, problem, got)

    def bad_rows(self, rows, always=()):
        for text, expected in rows:
            before = set(os.listdir())
            self.bad(text, expected, self.run(list(always) + text.split()), before)

    def help_rows(self):
        for text, patterns in HELP:
            got = self.run(text.split())
            missing = [p for p in patterns if not re.search(p, got.stdout, re.MULTILINE)]
            problem = None
            if got.returncode != 0:
                problem = "status is not 0"
            elif got.stderr:
                problem = "something on stderr"
            elif missing:
                problem = f"no line {missing[0]}"
            self.check(text, problem, got)

    # what needs more than words

    def unreadable(self, option):
        """Root reads everything, so somebody else is asked."""
        def drop():
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
        try:
            got = self.run([option, "secret"], preexec_fn=drop)
        except (PermissionError, subprocess.SubprocessError):
            print(f"skipped: unreadable {option}: nobody cannot run the VMM here")
            return
        self.bad(f"{option} secret", f"{option} secret: cannot open: Permission denied", got, set(os.listdir()))

    def without_kvm(self):
        """In a mount namespace of its own, /dev/kvm is something else, or nothing."""
        for name, hide, expected in (
                ("that is no KVM", "mount --bind /dev/null /dev/kvm", "/-accel kvm: .*/"),
                ("missing", "mount -t tmpfs none /dev",
                 "-accel kvm: /dev/kvm does not exist: load kvm-intel or kvm-amd, or run under "
                 "tools/kvm-host")):
            if name != "missing" and not os.path.exists("/dev/kvm"):
                continue
            script = f'{hide} 2>/dev/null || exit {SKIP}; shift; exec "$@"'
            command = ["-kernel", "tiny", "-serial", "null", "-pidfile", "pid"]
            for unshare in (["unshare", "-m"], ["unshare", "-rm"]):
                try:
                    got = subprocess.run(unshare + ["sh", "-c", script, "sh", "sh", self.vmm] + command, text=True,
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                except OSError:
                    continue
                if got.returncode != SKIP and not got.stderr.startswith("unshare:"):
                    self.bad(f"with a /dev/kvm {name}", expected, got, set(os.listdir()) - {"pid"})
                    break
            else:
                print(f"skipped: a /dev/kvm {name}: no mount namespace here")

    def all_faults(self):
        words = "-frob -check -readconfig faults.cfg -device foo -qmp udp:x -device virtio-rng,rng=zz".split()
        before = set(os.listdir())
        got = self.run(words)
        lines = [line.removeprefix("aerostat: error: ") for line in got.stderr.splitlines()]
        wanted = [line for line in FOUND.splitlines()]
        problem = None
        if got.returncode != 1 or got.stdout:
            problem = "status is not 1, or something on stdout"
        elif lines != wanted:
            problem = "\n    missing: ".join(["not the faults"] + [w for w in wanted if w not in lines])
        elif set(os.listdir()) != before:
            problem = "left something behind"
        self.check("-check -readconfig faults.cfg", problem, got)

    def nothing_wrong(self):
        for text in CHECKED_GOOD:
            before = set(os.listdir())
            got = self.run(["-check"] + text.split())
            problem = None
            if got.returncode != 0 or got.stdout or got.stderr:
                problem = "is found faulty"
            elif set(os.listdir()) != before:
                problem = "left something behind"
            self.check(f"-check {text}", problem, got)

    def pid_file_of_another(self, always):
        with open("locked", "w") as f:
            f.write("12345\n")
            f.flush()
            import fcntl
            fcntl.lockf(f, fcntl.LOCK_EX)
            got = self.run(list(always) + ["-pidfile", "locked"])
            self.bad("-pidfile locked", "-pidfile locked: in use by another process", got, set(os.listdir()))
            with open("locked") as again:
                self.check("-pidfile locked", again.read() != "12345\n" and "its pid is gone", got)

    def stale_socket_is_replaced(self, always):
        """A socket that nobody listens on is what a killed VMM leaves: it is no error. The pid file then fails."""
        s = socket.socket(socket.AF_UNIX)
        s.bind("stale")
        s.close()
        before = set(os.listdir()) - {"stale"}
        got = self.run(list(always) + ["-qmp", "unix:stale,server=on,wait=off", "-pidfile", "missing/pid"])
        self.bad("-qmp unix:stale", "-pidfile missing/pid: cannot open: No such file or directory", got, before)


def tiny_elf(address=1 << 20, bits=64):
    """An ELF image with a PVH entry: CLI, HLT."""
    code = b"\xfa\xf4\xeb\xfd"
    note = struct.pack("<III4sI4x", 4, 8, 18, b"Xen\0", address)
    header = 64 + 2 * 56
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1, 1]) + bytes(9)
    elf = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, address, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    elf += struct.pack("<IIQQQQQQ", 1, 5, header, address, address, len(code), 4096, 1)
    elf += struct.pack("<IIQQQQQQ", 4, 4, header + len(code), 0, 0, len(note), len(note), 4)
    return elf + code + note


def make_files():
    os.mkdir("dir")
    os.mkdir("sub")
    os.mkfifo("fifo")
    for name, data in (("empty", b""), ("text", b"no kernel\n" * 1000), ("tiny", tiny_elf()),
                       ("elf32", tiny_elf(bits=32)), ("cut", tiny_elf()[:100]), ("high", tiny_elf(100 << 20)),
                       ("secret", tiny_elf())):
        with open(name, "wb") as f:
            f.write(data)
    os.chmod("secret", 0)
    for name, text in CONFIGS.items():
        with open(f"{name}.cfg", "w") as f:
            f.write(text)
    with open("large", "wb") as f:
        f.truncate(100 << 20)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("taken")
    listener.listen()
    return listener


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("unit", "kvm"):
        print(__doc__.splitlines()[-1], file=sys.stderr)
        return 2
    t = Test(os.path.abspath(sys.argv[2]))
    with tempfile.TemporaryDirectory() as work:
        os.chmod(work, 0o755)
        os.chdir(work)
        listener = make_files()
        if sys.argv[1] == "unit":
            t.help_rows()
            t.bad_rows(UNIT)
            t.all_faults()
            t.nothing_wrong()
            t.unreadable("-kernel")
            t.unreadable("-readconfig")
            t.without_kvm()
        else:
            try:
                os.close(os.open("/dev/kvm", os.O_RDWR))
            except OSError as e:
                print(f"skipped: /dev/kvm: {e.strerror}")
                return SKIP
            always = ("-nodefaults", "-kernel", "tiny", "-serial", "unix:own,server=on,wait=off")
            t.bad_rows([r for r in KVM if "-serial" not in r[0]], always)
            t.bad_rows([r for r in KVM if "-serial" in r[0]], always[:3])
            t.pid_file_of_another(always)
            t.stale_socket_is_replaced(always)
        listener.close()
        os.chdir("/")
    print(f"{t.count - t.failures} of {t.count} as expected")
    return 1 if t.failures else 0


if __name__ == "__main__":
    sys.exit(main())
