#!/usr/bin/env bash
# Trains PolyGen on one device, then draws samples and freezes both models.
# Example: bash polygen/test/train_full_1p.sh --training_steps=500
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
set -euo pipefail
model_dir=$(dirname "$(dirname "$(readlink -f "$0")")")
summary='Trains PolyGen (vertex and face model), draws samples and freezes both models.'
defaults=(--training_steps=5000 --freeze=True)
# shellcheck source=polygen/test/options.sh
source "$model_dir/test/options.sh"
run_1p "$@"
