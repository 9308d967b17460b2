#!/usr/bin/env bash
# Trains 3D-R2N2 on one device, measures it with 1, 2 and 3 views, and freezes it.
# Example: bash r2n2/test/train_full_1p.sh --data_path=ShapeNet --model=ResidualGRUNet
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
if [[ ! -f $0 || ${BASH_SOURCE[0]:-} != "$0" ]]; then
  echo 'error: start this script as a file: bash FILE [--name=value]...; do not source it.' >&2
  return 2 2>/dev/null || exit 2
fi
set -euo pipefail
model_dir=$(dirname "$(dirname "$(readlink -f "$0")")")
summary='Trains 3D-R2N2, measures it with 1, 2 and 3 views, draws reconstructions and freezes it.'
defaults=(--evaluate=True --freeze=True --views=3)
# shellcheck source=r2n2/test/options.sh
source "$model_dir/test/options.sh"
run_1p "$@"
