#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Installs, builds and runs every test through CTest.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

usage() {
    cat <<END
usage: scripts/test.sh [unit|all] [--jobs N]
  all   (default) units and protocols under ASan+UBSan, threads under TSan, each fuzz target for a few seconds, then
        everything in the release build
  unit  the tests that need neither KVM nor a guest, in the release build: a minute
The last lines are CTest's summary. Logs of the builds: build/logs/
END
}

what=all jobs=$(nproc) fuzz_seconds=5
while [ $# -gt 0 ]; do
    case $1 in
    unit | all) what=$1 ;;
    --jobs) [[ ${2-} =~ ^[1-9][0-9]*$ ]] || die "--jobs: a positive number expected"; jobs=$2; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; die "unknown argument $1" ;;
    esac
    shift
done
cd "$top"
mkdir -p "$build/logs"
second_runs=$build/logs/second-runs
: >"$second_runs"

build_preset() {
    say "building: $1"
    step "configure-$1" cmake --preset "$1"
    step "build-$1" cmake --build --preset "$1" --parallel "$jobs"
}

# reported PRESET: did a sanitizer find something in the tests that ran last?
reported() {
    grep -aqE '(Address|Thread|Leak|UndefinedBehavior)Sanitizer: |: runtime error: ' "$build/$1/Testing/Temporary/LastTest.log"
}

# run_tests PRESET CTEST-OPTION...: what fails is run once more, one by one. On a machine with too much to do a limit may be
# passed, and an emulated host stalls now and then; that a test passed in its second run only is told at the end. What a sanitizer
# reported is never tried again.
run_tests() {
    local preset=$1 status=0 again
    shift
    say "testing: $preset $*"
    rm -f "$build/$preset/Testing/Temporary/LastTestsFailed.log"
    "${sanitizer_friendly[@]}" ctest --preset "$preset" --parallel "$jobs" "$@" || status=$?
    [ $status != 0 ] || return 0
    again="ctest --preset $preset --rerun-failed --output-on-failure"
    if reported "$preset" || [ ! -s "$build/$preset/Testing/Temporary/LastTestsFailed.log" ]; then
        say "tests failed in build/$preset; again: $again"
        exit "$status"
    fi
    sed "s|^[0-9]*:|$preset: |" "$build/$preset/Testing/Temporary/LastTestsFailed.log" >>"$second_runs"
    say "tests failed in build/$preset; once more, one by one"
    "${sanitizer_friendly[@]}" ctest --preset "$preset" --rerun-failed --parallel 1 || {
        status=$?
        say "tests failed twice in build/$preset; again: $again"
        exit "$status"
    }
}

tell_second_runs() {
    [ ! -s "$second_runs" ] || say "passed in the second run only: $(paste -sd, "$second_runs")"
}

say "installing what is missing (scripts/setup.sh)"
step setup scripts/setup.sh
build_preset release
if [ "$what" = unit ]; then
    run_tests release --label-regex '^unit$' --no-tests=error
    tell_second_runs
    exit
fi

say "preparing the guest (scripts/guest-image.sh)"
step guest-image scripts/guest-image.sh
build_preset asan
run_tests asan --label-regex '^(unit|protocol)$' --no-tests=error
build_preset tsan
run_tests tsan --label-regex '^tsan$'
scripts/fuzz.sh "$fuzz_seconds" --jobs "$jobs"
run_tests release --label-exclude '^guest' --no-tests=error
run_tests release --label-regex '^guest$' --no-tests=error
tell_second_runs
