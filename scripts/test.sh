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

build_preset() {
    say "building: $1"
    step "configure-$1" cmake --preset "$1"
    step "build-$1" cmake --build --preset "$1" --parallel "$jobs"
}

# run_tests PRESET CTEST-OPTION...
run_tests() {
    local preset=$1
    shift
    say "testing: $preset $*"
    "${sanitizer_friendly[@]}" ctest --preset "$preset" --parallel "$jobs" "$@" || {
        status=$?
        say "tests failed in build/$preset; again: ctest --preset $preset --rerun-failed --output-on-failure"
        exit "$status"
    }
}

say "installing what is missing (scripts/setup.sh)"
step setup scripts/setup.sh
build_preset release
if [ "$what" = unit ]; then
    run_tests release --label-regex '^unit$' --no-tests=error
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
# On an emulated host the emulation itself stalls now and then: a guest test that fails is run once more, in plain sight.
run_tests release --label-regex '^guest$' --no-tests=error --repeat until-pass:2
