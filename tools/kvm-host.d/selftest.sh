#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Checks what tools/kvm-host promises, on whichever of its two machines it picks. Options are handed to it.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
host() { "$top/tools/kvm-host" --timeout 120 "$@" 2>"$tmp/err"; }
failures=0

# expect NAME WANTED GOT
expect() {
    if [ "$2" = "$3" ]; then
        echo "ok: $1"
    else
        echo "FAILED: $1: expected '$2', got '$3'"
        sed 's/^/    /' "$tmp/err"
        failures=$((failures + 1))
    fi
}

out=$(host "$@" -- sh -c 'echo "out $((6 * 7))"; echo err >&2; exit 7')
expect "exit status is the command's" 7 $?
expect "standard output arrives unchanged" "out 42" "$out"
expect "standard error arrives" err "$(tail -n 1 "$tmp/err")"
expect "one line says which machine" 1 "$(grep -c '^kvm-host: ' "$tmp/err")"

expect "/dev/kvm is there" yes "$(host "$@" -- sh -c 'test -c /dev/kvm && echo yes')"

if grep -q ' emulated host ' "$tmp/err"; then # its first process: see kvm-host-init.c
    expect "the emulated host keeps a VM" yes "$(host "$@" -- sh -c 'test -d /sys/kernel/debug/kvm/1-* && echo yes')"
fi

head -c 3000000 /dev/urandom >"$tmp/data"
host "$@" -- cat <"$tmp/data" >"$tmp/copy"
expect "bytes pass through unchanged" 0 "$(cmp "$tmp/data" "$tmp/copy" >/dev/null; echo $?)"

host "$@" --file "$tmp/data:$tmp/there/data" -- cat "$tmp/there/data" >"$tmp/copy"
expect "a file is carried to where it is wanted" 0 "$(cmp "$tmp/data" "$tmp/copy" >/dev/null; echo $?)"

expect "a scratch folder is on an empty disk" yes "$(host "$@" --scratch 32 -- \
    sh -c 'cd "$AEROSTAT_SCRATCH" && dd if=/dev/zero of=x bs=4096 count=1 oflag=direct && echo yes')"

expect "environment is passed" "a b" "$(host "$@" --env "X=a b" -- sh -c 'echo "$X"')"

host "$@" -- sh -c 'kill -9 $$'
expect "death by signal n is 128+n" 137 $?

start=$(date +%s)
host "$@" --timeout 3 -- sleep 60
expect "timeout is 124" 124 $?
expect "timeout kills in time" yes "$([ $(($(date +%s) - start)) -lt 10 ] && echo yes)"

host "$@" -- no-such-command
expect "unknown command is 127" 127 $?
host "$@"
expect "no command is 2" 2 $?
host "$@" --no-such-option -- true
expect "unknown option is 2" 2 $?
host "$@" --file "$tmp/nowhere" -- true
expect "missing file is 2" 2 $?
expect "in one line" 1 "$(wc -l <"$tmp/err")"

for i in 1 2 3; do
    ("$top/tools/kvm-host" --timeout 120 "$@" -- sh -c "sleep 1; echo $i; exit $i" >"$tmp/out$i" 2>/dev/null; echo $? >"$tmp/rc$i") &
done
wait
expect "runs do not disturb each other" "1 2 3 1 2 3" "$(echo $(cat "$tmp"/out? "$tmp"/rc?))"

[ $failures = 0 ]
