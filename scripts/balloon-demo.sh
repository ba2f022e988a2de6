#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Boots a guest with virtio-balloon and shows memory going to the host and back. Runs on the KVM host, which may have
# busybox only: POSIX sh. scripts/boot.sh calls it.
#
# usage: balloon-demo.sh [--memory MB] [--smp N] [--keep-running] [--qmp SOCKET] [--since EPOCH]
#                        VMM QMP-CLIENT KERNEL INITRD [VMM-ARG]...
set -u

memory=512 smp=1 keep= socket= since=
while [ $# -gt 0 ]; do
    case $1 in
    --memory) memory=$2; shift ;;
    --smp) smp=$2; shift ;;
    --qmp) socket=$2; shift ;;
    --since) since=$2; shift ;; # when the caller's clock began: ours goes on from it
    --keep-running) keep=1 ;;
    *) break ;;
    esac
    shift
done
[ $# -ge 4 ] || { echo "balloon-demo: VMM QMP-CLIENT KERNEL INITRD expected" >&2; exit 2; }
vmm=$1 client=$2 kernel=$3 initrd=$4
shift 4

dir=$(mktemp -d "${TMPDIR:-/tmp}/balloon-demo.XXXXXX") || exit 1
socket=${socket:-$dir/qmp}
vmm_pid=

cleanup() {
    trap - EXIT INT TERM HUP
    exec 3>&-
    [ -z "$vmm_pid" ] || kill "$vmm_pid" 2>/dev/null
    rm -rf "$dir" "$socket"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT TERM HUP

now() { cut -d' ' -f1 /proc/uptime; }
since() { echo "$(now) $1" | awk '{ printf "%.1f", $1 - $2 }'; }
whole_since() { since "$1" | cut -d. -f1; }
t_start=$(now)
# busybox's date may know no fractions: awk takes the number before them.
offset=$(echo "$(date +%s.%N) ${since:-0} $t_start" | awk '{ d = $2 ? $1 - $2 : 0; printf "%.2f", $3 - (d > 0 ? d : 0) }')
say() { printf '[%6s s] %s\n' "$(since "$offset")" "$*"; }

fail() {
    echo "balloon-demo: $*" >&2
    if [ -s "$dir/vmm.err" ]; then
        echo "the VMM said:" >&2
        tail -n 15 "$dir/vmm.err" >&2
    fi
    exit 1
}

alive() { [ ! -e "$dir/status" ]; }

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds.
wait_for() {
    limit=$1 what=$2 t_wait=$(now)
    shift 2
    until "$@"; do
        alive || fail "the VMM ended (status $(cat "$dir/status")) while waiting for $what"
        [ "$(whole_since "$t_wait")" -lt "$limit" ] || fail "no $what within $limit s"
        sleep 0.05
    done
}

console_has() { grep -q "$1" "$dir/console" 2>/dev/null; }
answers() { grep -c '^AEROSTAT-DONE' "$dir/console"; }
answered() { [ "$(answers)" -gt "$before" ]; }

# ask COMMAND...: gives the guest's agent a command and prints its answer.
ask() {
    before=$(answers)
    lines=$(wc -l <"$dir/console")
    : >"$dir/asking"
    echo "$*" >&3
    wait_for 60 "answer to '$*'" answered
    rm -f "$dir/asking"
    sed "1,${lines}d; /^AEROSTAT-DONE/d" "$dir/console"
}

qmp() { "$client" "$socket" "$@"; }
number() { sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" | head -n 1; }
resident() { awk '$1 == "VmRSS:" { printf "%d", $2 / 1024; exit }' "/proc/$vmm_pid/status"; }
actual() { qmp query-balloon | tr -d '\n' | number actual; }
reached() { [ "$(actual)" = "$1" ]; }

measure() {
    # A subshell's fail ends the subshell only: each answer is checked here.
    answer=$(ask cat /proc/meminfo) || exit 1
    free=$(echo "$answer" | awk '$1 == "MemFree:" { printf "%d", $2 / 1024; exit }')
    rss=$(resident)
    [ -n "$free" ] && [ -n "$rss" ] || fail "no memory figures $1"
    rows="$rows$(printf '  %-34s %12s %18s' "$1" "$free MB" "$rss MB")
"
    say "$1: guest free $free MB, host resident $rss MB"
}

# set_balloon MB: what the guest shall have; waits until it has.
set_balloon() {
    bytes=$(($1 * 1048576)) t_balloon=$(now)
    qmp balloon value="$bytes" >/dev/null || fail "QMP command balloon failed"
    wait_for 60 "balloon at $1 MB" reached "$bytes"
    say "the guest has $1 MB now, after $(since "$t_balloon") s"
}

# ---- boot ----

mkfifo "$dir/stdin" || exit 1
exec 3<>"$dir/stdin"
: >"$dir/console"
t_boot=$(now)
(
    "$vmm" -M pc -accel kvm -cpu host -m "$memory" -smp "$smp" -nodefaults -display none \
        -kernel "$kernel" -initrd "$initrd" -append "console=ttyS0 quiet cryptomgr.notests" \
        -device virtio-balloon,id=balloon0 -serial stdio -qmp "unix:$socket,server=on,wait=off" "$@" \
        <"$dir/stdin" 2>"$dir/vmm.err" &
    echo $! >"$dir/pid"
    wait $!
    echo $? >"$dir/status"
) | while IFS= read -r line; do
    line=$(printf %s "$line" | tr -d '\r')
    printf '%s\n' "$line" >>"$dir/console"
    [ -e "$dir/asking" ] || printf '    guest| %s\n' "$line" # answers to our questions are for us
done &

wait_for 5 "VMM process" test -s "$dir/pid"
vmm_pid=$(cat "$dir/pid")
wait_for 90 "guest's init" console_has '^AEROSTAT-INIT'
boot_time=$(since "$t_boot")
say "the guest's init runs after $boot_time s"
wait_for 60 "guest's agent" console_has '^AEROSTAT-READY'
answer=$(ask virtio) || exit 1
echo "$answer" | grep -q driver=virtio_balloon || fail "the guest's driver did not bind to the balloon"
say "the guest's driver is bound to virtio-balloon"

if [ -n "$keep" ]; then
    echo "BALLOON-DEMO-RUNNING"
    while alive; do
        sleep 0.2
    done
    exit 0
fi

# ---- the balloon ----

quarter=$((memory / 4))
rows=
measure "after boot"
# What the guest can spare, and not so much that it has to kill for it.
spare=$((free / 4 < 48 ? free / 4 : 48))
hold=$((free - spare))
[ "$hold" -le $((memory * 3 / 4 - 16)) ] || hold=$((memory * 3 / 4 - 16))
ask hold "$hold" >/dev/null || exit 1
ask hold 0 >/dev/null
measure "guest used memory and freed it"
rss_before=$rss
say "inflating: the balloon takes $quarter MB of $memory MB"
set_balloon $((memory - quarter))
measure "balloon inflated"
rss_after=$rss
say "deflating"
set_balloon "$memory"
measure "balloon deflated"

# ---- the end ----

t_down=$(now)
qmp system_powerdown >/dev/null || fail "QMP command system_powerdown failed"
say "power button pressed"
while alive; do
    [ "$(whole_since "$t_down")" -lt 30 ] || fail "the guest did not power off within 30 s"
    sleep 0.05
done
down_time=$(since "$t_down")
status=$(cat "$dir/status")
vmm_pid=
wait

cat <<END

  guest of $memory MB, $smp processor(s)  guest free memory  host resident memory
$rows
  given back to the host: $((rss_before - rss_after)) MB of a $quarter MB balloon
  boot to init $boot_time s, power off $down_time s, all $(since "$t_start") s
END
[ "$status" = 0 ] || fail "the VMM ended with status $status"
