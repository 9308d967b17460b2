#!/usr/bin/env bash
# Trains CMR on one device, measures it before and after, draws bodies and freezes it.
# Example: bash cmr/test/train_full_1p.sh --data_path=datasets --dataset=itw
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
if [[ ! -f $0 || ${BASH_SOURCE[0]:-} != "$0" ]]; then
  echo 'error: start this script as a file: bash FILE [--name=value]...; do not source it.' >&2
  return 2 2>/dev/null || exit 2
fi
set -euo pipefail
model_dir=$(dirname "$(dirname "$(readlink -f "$0")")")
summary='Trains CMR, measures it on the test set before and after, draws bodies and freezes it.'
defaults=(--evaluate=True --freeze=True)
# shellcheck source=cmr/test/options.sh
source "$model_dir/test/options.sh"
run_1p "$@"
