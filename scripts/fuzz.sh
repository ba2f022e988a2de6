#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Builds the fuzz targets and runs each of them for some time.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

usage() {
    cat <<END
usage: scripts/fuzz.sh SECONDS [TARGET...] [--jobs N]
       scripts/fuzz.sh --list
  SECONDS   for which each target runs
  TARGET    one or more of those that --list shows; not given: all
  --jobs N  how many run at a time (default: one per processor, $(nproc))
Inputs are the seeds (tests/fuzz/corpus) and what earlier runs found (build/fuzz/corpus). One that crashes, hangs
(10 s), leaks or takes too much memory ends its target, is kept in build/fuzz/failures, and makes the exit status 1.
END
}

sources=$top/tests/fuzz
dir=$build/fuzz
seconds='' jobs=$(nproc) targets=()
all=$(sed -n 's/^aerostat_fuzz(\([a-z-]*\) .*/\1/p' "$sources/CMakeLists.txt")

while [ $# -gt 0 ]; do
    case $1 in
    --jobs) [[ ${2-} =~ ^[1-9][0-9]{0,2}$ ]] || die "--jobs: a positive number expected"; jobs=$2; shift ;;
    --list) echo "$all"; exit 0 ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; die "unknown option $1" ;;
    *)
        if [ -z "$seconds" ]; then
            [[ $1 =~ ^[1-9][0-9]{0,6}$ ]] || die "'$1' is no number of seconds"
            seconds=$1
        else
            grep -qxF -- "$1" <<<"$all" || die "unknown target '$1'; --list shows all"
            targets+=("$1")
        fi
        ;;
    esac
    shift
done
[ -n "$seconds" ] || { usage >&2; die "how many seconds?"; }
[ ${#targets[@]} -gt 0 ] || mapfile -t targets <<<"$all"
here=$PWD
cd "$top"

# seeds TARGET: makes them from their sources. Targets that differ in their last word only may share a folder.
seeds() {
    local name
    rm -rf "$dir/seeds/$1"
    mkdir -p "$dir/seeds/$1" "$dir/corpus/$1" "$dir/failures"
    for name in "$1" "${1%-*}"; do
        [ ! -d "$sources/corpus/$name" ] || "$sources/seeds.py" "$sources/corpus/$name" "$dir/seeds/$1"
    done
    [ -n "$(ls -A "$dir/seeds/$1")" ] || die "$1 has no seeds in ${sources#"$top"/}/corpus"
}

# run TARGET: becomes it, with its output in build/logs/TARGET.log. The outer timeout is for one that does not reach
# its own end, where leaks are looked for.
run() {
    export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
    exec timeout --kill-after=10 $((seconds + 120)) "${sanitizer_friendly[@]}" "$dir/tests/fuzz/$1" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -detect_leaks=1 -print_final_stats=1 \
        -artifact_prefix="$dir/failures/$1-" "$dir/corpus/$1" "$dir/seeds/$1" >"$build/logs/$1.log" 2>&1
}

figure() {
    sed -n "s/^stat::$2: *//p" "$build/logs/$1.log" | tail -n 1
}

row() {
    printf '%-20s %12s %8s  %s\n' "$@"
}

# report TARGET STATUS: a line of the table; what failed gets the input's name and the way to run it again.
report() {
    local log=$build/logs/$1.log result=ok input
    [ "$2" = 0 ] || result="FAILED (status $2)"
    row "$1" "$(figure "$1" number_of_executed_units)" "$(figure "$1" average_exec_per_sec)" "$result"
    [ "$2" != 0 ] || return 0
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    grep -E '^SUMMARY|^ERROR:|: Assertion|runtime error|^==.*ERROR' "$log" | head -n 5 | sed 's/^/    /' || true
    echo "    log: ${log#"$here"/}"
    [ -z "$input" ] || echo "    again: ${dir#"$here"/}/tests/fuzz/$1 ${input#"$here"/}"
}

step setup scripts/setup.sh --fuzz
say "building the fuzz targets"
step configure-fuzz cmake --preset fuzz
step build-fuzz cmake --build --preset fuzz --parallel "$jobs" --target "${targets[@]}"

passed=0 failed=0
declare -A running=() # process id -> target
trap '[ ${#running[@]} = 0 ] || kill "${!running[@]}" 2>/dev/null || true' EXIT

# Waits for one of those that run, and reports it.
collect() {
    local pid status=0
    wait -n -p pid "${!running[@]}" || status=$?
    report "${running[$pid]}" "$status"
    unset "running[$pid]"
    if [ "$status" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

say "fuzzing: ${#targets[@]} targets, $seconds s each, $jobs at a time"
row target executions exec/s result
for target in "${targets[@]}"; do
    [ ${#running[@]} -lt "$jobs" ] || collect
    seeds "$target"
    run "$target" &
    running[$!]=$target
done
while [ ${#running[@]} -gt 0 ]; do
    collect
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
