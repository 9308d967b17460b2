#!/usr/bin/env bash
# Checks the style and runs the tests; makes the environment first where it is missing.
#
#   bash tests/run.sh [--slow] [--tensorflow=1|2] [arguments of pytest]
#
#   --slow             also the tests marked slow
#   --tensorflow=1|2   with TensorFlow 1.15 or 2 (default: what setup.sh chooses; also TENSORFLOW=1|2)
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
    --tensorflow=*) export TENSORFLOW=${argument#*=} ;;
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
"$python" -c '
import platform, common, numpy, tensorflow  # common: what TensorFlow reads at its import
print("TensorFlow {}, Python {}, NumPy {}, {}".format(
    tensorflow.__version__, platform.python_version(), numpy.__version__, platform.machine()))'
"$python" -m ruff check .
if "$python" -c 'import mypy' 2>/dev/null; then # of the lock of TensorFlow 1.15
  "$python" -m mypy
fi
# Two files at a time; an operation gets one thread of the machine's, so that they share it well.
exec "$python" -m pytest -m "$marks" --numprocesses auto --dist loadfile "${arguments[@]}"
