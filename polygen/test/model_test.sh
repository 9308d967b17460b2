#!/usr/bin/env bash
# Runs PolyGen's smoke test, forward passes and samples of both models, with the project's Python.
# Example: bash polygen/test/model_test.sh
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
if [[ ! -f $0 || ${BASH_SOURCE[0]:-} != "$0" ]]; then
  echo 'error: start this script as a file: bash FILE [--name=value]...; do not source it.' >&2
  return 2 2>/dev/null || exit 2
fi
set -euo pipefail
model_dir=$(dirname "$(dirname "$(readlink -f "$0")")")
python=$(bash "$model_dir/../setup.sh" --print-python)
exec "$python" "$model_dir/model_test.py" "$@"
