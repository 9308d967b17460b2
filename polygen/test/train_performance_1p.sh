#!/usr/bin/env bash
# Measures the pace of PolyGen's training on one device: 100 steps, no samples, a folder of its own.
# Example: bash polygen/test/train_performance_1p.sh --precision_mode=mix
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
if [[ ! -f $0 || ${BASH_SOURCE[0]:-} != "$0" ]]; then
  echo 'error: start this script as a file: bash FILE [--name=value]...; do not source it.' >&2
  return 2 2>/dev/null || exit 2
fi
set -euo pipefail
model_dir=$(dirname "$(dirname "$(readlink -f "$0")")")
summary='Measures the pace of PolyGen training over 100 steps; leaves the checkpoints of a full run alone.'
defaults=(--training_steps=100 --sample=False --resume=False)
output_folder=performance
# shellcheck source=polygen/test/options.sh
source "$model_dir/test/options.sh"
run_1p "$@"
