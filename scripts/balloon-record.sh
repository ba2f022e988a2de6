#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Records what a balloon's policy goes by, as a trace that test-balloon-plan replays: once a second the host's stall times as
# the kernel has them, and what the guest tells. Runs where the VM runs, which may have busybox only: POSIX sh.
#
# usage: balloon-record.sh [--seconds N] [--cgroup DIR] [--device ID] QMP-CLIENT SOCKET
set -u

seconds=60 pressure=/proc/pressure/memory device=balloon0
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2; shift ;;
    --cgroup) pressure=$2/memory.pressure; shift ;;
    --device) device=$2; shift ;;
    -h | --help) sed -n 's/^# usage: /usage: /p' "$0"; exit 0 ;;
    *) break ;;
    esac
    shift
done
[ $# -eq 2 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
client=$1 socket=$2

qmp() { "$client" "$socket" "$@" | tr -d '\n'; }
now() { cut -d' ' -f1 /proc/uptime; }
die() { echo "balloon-record: $*" >&2; exit 1; }

[ -r "$pressure" ] || die "$pressure: cannot be read"
qmp qom-set path="$device" property=guest-stats-polling-interval value=1 >/dev/null || die "no guest statistics from $device"
ram=$(qmp query-memory-size-summary | sed -n 's/.*"base-memory": *\([0-9]*\).*/\1/p')
[ -n "$ram" ] || die "no answer from $socket"

# The lines of a second: "stalls" has the kernel's sums in microseconds, "told" MiB and counts so far.
print_second() {
    awk -v t="$1" '{ sub("total=", "", $5); total[$1] = $5 } END { printf "stalls %.1f some=%.0f full=%.0f\n", t, total["some"], total["full"] }' "$pressure"
    had=$(qmp query-balloon | sed -n 's/.*"actual": *\([0-9]*\).*/\1/p')
    qmp qom-get path="$device" property=guest-stats | tr ',{}' '\n\n\n' | awk -F': *' -v t="$1" -v had="$had" '
        /stat-available-memory/ { available = $2 }
        /stat-major-faults/ { faults = $2 }
        /stat-oom-kills/ { kills = $2 }
        /last-update/ { told = $2 }
        END { if (told > 0) printf "told %.1f 0 had=%.1f available=%.1f faults=%.0f%s\n", t, had / 1048576, available / 1048576, faults, kills < 0 ? "" : " kills=" kills }'
}

start=$(now)
since() { echo "$(now) $start" | awk '{ printf "%.1f", $1 - $2 }'; }
reached() { echo "$(now) $start $1" | awk '{ exit !($1 - $2 >= $3) }'; }
echo "guest 0 ram=$((ram / 1048576))"
next=1
while ! reached "$seconds"; do
    until reached "$next"; do
        sleep 0.05
    done
    t=$(since)
    print_second "$t"
    next=$((${t%.*} + 1)) # a slow host leaves some out
done
echo "end $seconds"
