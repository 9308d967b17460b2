#!/usr/bin/env bash
# Makes the sample files of the sets in $CMR_DATA (else cmr/datasets).
# Example: bash cmr/scripts/generate_dataset.sh train test
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
set -euo pipefail
# shellcheck source=cmr/scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"
expect 1 2 'generate_dataset.sh train|test [test]' "$@"
case $* in
  train) kind=train files=(--train_files) ;;
  test) kind=eval files=(--eval_files) ;;
  'train test' | 'test train') kind=train_eval files=(--train_files --eval_files) ;;
  *) expect 1 0 'generate_dataset.sh train|test [test]' "$@" ;;
esac
in_background "generate_${kind}_files.log" "$cmr/preprocess.py" --data_path="$data_path" "${files[@]}"
