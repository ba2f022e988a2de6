#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# How recorded-*.txt were recorded: a Linux guest of 512 MiB in a KVM host whose memory runs short because a process there
# wants more than its cgroup may have, scripts/balloon-record.sh beside it. What the guests shall do is added by hand.
#
# usage: tests/balloon-traces/record.sh pressed|busy
set -u

# inside SCENARIO VMM CLIENT KERNEL INITRD RECORDER: in the KVM host, which may have busybox only.
inside() {
    scenario=$1 vmm=$2 client=$3 kernel=$4 initrd=$5 recorder=$6
    root=/tmp/cgroup dir=/tmp/record policy=
    mkdir -p $root $dir && mount -t cgroup2 none $root && echo +memory >$root/cgroup.subtree_control && mkdir $root/hog || exit 1
    echo 33554432 >$root/hog/memory.high
    [ "$scenario" = pressed ] || policy="-object balloon-policy,id=p0,device=balloon0,floor=128M,reserve=64M,calm=20"
    mkfifo $dir/stdin && exec 3<>$dir/stdin
    # shellcheck disable=SC2086
    "$vmm" -M pc -accel kvm -m 512 -nodefaults -display none -kernel "$kernel" -initrd "$initrd" \
        -append "console=ttyS0 quiet cryptomgr.notests" -device virtio-balloon,id=balloon0,deflate-on-oom=on \
        -serial stdio -qmp unix:$dir/qmp,server=on,wait=off $policy <$dir/stdin >$dir/console 2>&1 &
    vmm_pid=$!
    until grep -q AEROSTAT-READY $dir/console; do
        kill -0 $vmm_pid || { cat $dir/console >&2; exit 1; }
        sleep 0.1
    done
    "$recorder" --seconds 70 "$client" $dir/qmp >$dir/trace &
    recorder_pid=$!
    "$scenario"
    wait $recorder_pid || exit 1
    kill $vmm_pid
    cat $dir/trace
}

guest() { echo "$*" >&3; }
# A process that wants ever more (a line without end), and is held to 32 MiB by stalls.
press() { sh -c 'echo $$ >/tmp/cgroup/hog/cgroup.procs; exec tail -n 1 /dev/zero' >/dev/null & hog=$!; }
relieve() { kill -9 $hog; }

# The host is short for a while; the guest does nothing.
pressed() {
    guest hold 40
    sleep 5; press
    sleep 20; relieve
}

# The guest was squeezed, then wants memory in steps while the host is still short, and frees it.
busy() {
    sleep 3; press
    for mib in 60 110 160 210 260; do
        sleep 4; guest hold $mib
    done
    sleep 10; guest hold 0
    sleep 10; relieve
}

if [ "${1-}" = inside ]; then
    shift
    inside "$@"
    exit
fi
case ${1-} in
pressed | busy) ;;
*) sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2 ;;
esac
top=$(cd "$(dirname "$0")/../.." && pwd)
guest=$top/build/guest release=$top/build/release recorder=$top/scripts/balloon-record.sh
client=$release/aerostat-qmp self=$top/tests/balloon-traces/record.sh
exec "$top/tools/kvm-host" --file "$self" --file "$release/aerostat" --file "$client" --file "$guest/vmlinux" \
    --file "$guest/initramfs.cpio" --file "$recorder" -- "$self" inside "$1" "$release/aerostat" "$client" "$guest/vmlinux" \
    "$guest/initramfs.cpio" "$recorder"
