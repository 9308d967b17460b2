#!/usr/bin/env bash
# Makes the sample files of the sets in $CMR_DATA (else cmr/datasets).
# Example: bash cmr/scripts/generate_dataset.sh train test
set -euo pipefail
# shellcheck source=cmr/scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
expect 1 2 'generate_dataset.sh train|test [test]' "$@"
files=()
log=generate
for word in "$@"; do
  case $word in
    train) files+=(--train_files) log+=_train ;;
    test) files+=(--eval_files) log+=_eval ;;
    *) expect 1 0 'generate_dataset.sh train|test [test]' "$@" ;;
  esac
done
in_background "${log}_files.log" "$cmr/preprocess.py" --data_path="$data_path" "${files[@]}"
