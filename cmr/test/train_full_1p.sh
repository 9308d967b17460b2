#!/usr/bin/env bash
# Trains CMR on one device, measures it before and after, draws bodies and freezes it.
# Example: bash cmr/test/train_full_1p.sh --data_path=datasets --dataset=itw
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # started by `sh`, which may be another shell
set +o posix -euo pipefail
model_dir=$(dirname "$(dirname "$(readlink -f "$0")")")
summary='Trains CMR, measures it on the test set before and after, draws bodies and freezes it.'
defaults=(--evaluate=True --freeze=True)
# shellcheck source=cmr/test/options.sh
source "$model_dir/test/options.sh"
run_1p "$@"
