#!/usr/bin/env bash
# Parity and speed on a machine with a GPU, in one go:
#   tests/gpu/run.sh [build folder] [output folder]
# Run from the repository root. The build folder holds bin/gpu_tests, bin/gpu_logits, bin/gpu_bench
# and lib/caretd/caretd_cuda.so (cmake --build --preset cuda-one --target caretd_cuda gpu_tests
# gpu_logits gpu_bench). PARITY=0, SANITIZE=0, TRANSFORMERS=0 or BENCH=0 leave a part out.
set -uo pipefail
build=${1:-build/cuda-one}
out=${2:-$build/gpu}
mkdir -p "$out"
failed=0
part() {  # part NAME SECONDS COMMAND...
  local name=$1 limit=$2
  shift 2
  echo "== $name"
  if ! timeout "$limit" "$@" >"$out/$name.log" 2>&1; then
    echo "FAILED ($?): $name"
    failed=1
  fi
  tail -n "${LINES_SHOWN:-60}" "$out/$name.log"
}

if [ "${PARITY:-1}" = 1 ]; then
  part golden 60 "$build/bin/gpu_tests" "[golden]"
  part pages 60 "$build/bin/gpu_tests" "[pages]"
  part features 120 "$build/bin/gpu_tests" "[features]"
  part single 120 "$build/bin/gpu_tests" "[single]"
fi
if [ "${SANITIZE:-1}" = 1 ]; then
  part memcheck 180 compute-sanitizer --tool memcheck "$build/bin/gpu_tests" "a page that left*"
  part memcheck-single 180 compute-sanitizer --tool memcheck "$build/bin/gpu_tests" "[single]"
  part racecheck 180 compute-sanitizer --tool racecheck "$build/bin/gpu_tests" "a page that left*"
fi
if [ "${TRANSFORMERS:-1}" = 1 ]; then
  part transformers 240 python3 tests/gpu/transformers_parity.py "$build/bin"
fi
if [ "${BENCH:-1}" = 1 ]; then
  part bench-bf16 120 "$build/bin/gpu_bench" lite bf16 "$out/lite-bf16.json"
  part bench-fp8 120 "$build/bin/gpu_bench" lite fp8 "$out/lite-fp8.json"
fi
exit $failed
