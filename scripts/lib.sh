# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the scripts here: where things are, and how to say what is going on.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/build
script=$(basename "$0")
started=${AEROSTAT_STARTED:-$(date +%s.%N)}
export AEROSTAT_STARTED=$started

say() {
    printf '[%6.1f s] %s\n' "$(echo "$(date +%s.%N) $started" | awk '{ print $1 - $2 }')" "$*" >&2
}

# tell TEXT: as say, and where step's caller sees it too.
tell() {
    say "$@"
    [ -z "${AEROSTAT_STEP-}" ] || say "$@" 2>&8
}

die() {
    printf '%s: %s\n' "$script" "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# as_root COMMAND...: runs it as root, by sudo when need be.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "not root and no sudo: run as root: $*"
    fi
}

# on_apt: is this a system whose packages apt-get installs?
on_apt() {
    have apt-get && have dpkg-query
}

# step NAME COMMAND...: runs it with its output in build/logs/NAME.log; a failure ends the script and shows the tail.
step() {
    local name=$1 log=$build/logs/$1.log status=0
    shift
    mkdir -p "$build/logs"
    AEROSTAT_STEP=1 "$@" 8>&2 >"$log" 2>&1 || status=$?
    [ $status = 0 ] && return 0
    say "step '$name' failed with status $status; log: ${log#"$PWD"/}"
    tail -n 25 "$log" | sed 's/^/    /' >&2
    exit 1
}

# bench_pair: what a benchmark beside QEMU with a Linux guest needs: sets guest, vmm and qemu, makes the guest and the folder out.
bench_pair() {
    guest=$build/guest vmm=${AEROSTAT:-$build/release/aerostat}
    [ -x "$vmm" ] || die "no ${vmm#"$PWD"/}: build the release preset first"
    qemu=$(command -v qemu-system-x86_64) || die "no qemu-system-x86_64: run scripts/setup.sh"
    mkdir -p "$out"
    step guest-image "$top/scripts/guest-image.sh" "$guest"
}

# qemu_firmware NAME...: adds to the array `carry` each file of QEMU's firmware and option ROMs that is where QEMU looks.
qemu_firmware() {
    local f d
    for f in "$@"; do
        for d in /usr/share/qemu /usr/share/seabios; do
            [ -e "$d/$f" ] && carry+=(--file "$d/$f") && break
        done
    done
    return 0
}

# Where a kernel randomises addresses by more bits than a compiler's sanitizers expect, they fail to start now and then.
sanitizer_friendly=(env)
if setarch -R true 2>/dev/null; then
    sanitizer_friendly=(setarch -R)
fi
