#!/usr/bin/env bash
# Checks the style and runs the tests; makes the environment first where it is missing.
#
#   bash tests/run.sh [--slow] [arguments of pytest]
#
#   --slow   also the tests marked slow
#
# Works from any folder; paths among the arguments count from the project root.
# Example: bash tests/run.sh tests/common -k resume
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
marks='not slow and not npu'
arguments=()
for argument in "$@"; do
  case $argument in
    --slow) marks='not npu' ;;
    -h | --help)
      sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) arguments+=("$argument") ;;
  esac
done

python=$(bash "$root/setup.sh" --dev --print-python)
cd "$root"
# Tests are about the CPU, and TensorFlow's own chatter would hide what they say.
export CUDA_VISIBLE_DEVICES="${CUDA_VISIBLE_DEVICES-}" TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL-3}"
"$python" -m ruff check .
"$python" -m mypy
# Two files at a time; an operation gets one thread of the machine's, so that they share it well.
exec "$python" -m pytest -m "$marks" --numprocesses auto --dist loadfile "${arguments[@]}"
