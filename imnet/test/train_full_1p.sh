#!/usr/bin/env bash
# Trains IM-NET on one device: three stages, codes, GAN, pictures; then meshes, .pb files, evaluation.
# Example: bash imnet/test/train_full_1p.sh --data_path=data
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
if [[ ! -f $0 || ${BASH_SOURCE[0]:-} != "$0" ]]; then
  echo 'error: start this script as a file: bash FILE [--name=value]...; do not source it.' >&2
  return 2 2>/dev/null || exit 2
fi
set -euo pipefail
model_dir=$(dirname "$(dirname "$(readlink -f "$0")")")
summary='Trains IM-NET (autoencoder in three stages, GAN, pictures), then makes meshes and .pb files.'
defaults=()
# shellcheck source=imnet/test/options.sh
source "$model_dir/test/options.sh"
run_1p "$@"
