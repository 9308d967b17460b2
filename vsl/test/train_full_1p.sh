#!/usr/bin/env bash
# Trains VSL on one device, then classifies, reconstructs, generates, interpolates and freezes.
# Example: bash vsl/test/train_full_1p.sh --data_path=dataset --preset=modelnet10
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
if [[ ! -f $0 || ${BASH_SOURCE[0]:-} != "$0" ]]; then
  echo 'error: start this script as a file: bash FILE [--name=value]...; do not source it.' >&2
  return 2 2>/dev/null || exit 2
fi
set -euo pipefail
model_dir=$(dirname "$(dirname "$(readlink -f "$0")")")
summary='Trains VSL, then classifies, reconstructs, generates, interpolates and freezes.'
defaults=('--stages=train,classify,reconstruct,generate,interpolate,tsne,freeze')
# shellcheck source=vsl/test/options.sh
source "$model_dir/test/options.sh"
run_1p "$@"
