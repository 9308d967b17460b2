#!/usr/bin/env bash
# Trains PolyGen on one device, then draws samples and freezes both models.
# Example: bash polygen/test/train_full_1p.sh --training_steps=500
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
if [[ ! -f $0 || ${BASH_SOURCE[0]:-} != "$0" ]]; then
  echo 'error: start this script as a file: bash FILE [--name=value]...; do not source it.' >&2
  return 2 2>/dev/null || exit 2
fi
set -euo pipefail
model_dir=$(dirname "$(dirname "$(readlink -f "$0")")")
summary='Trains PolyGen (vertex and face model), draws samples and freezes both models.'
defaults=(--freeze=True)
# shellcheck source=polygen/test/options.sh
source "$model_dir/test/options.sh"
run_1p "$@"
