#!/usr/bin/env bash
# Trains PolyGen on one device, then draws samples and freezes both models.
# Example: bash polygen/test/train_full_1p.sh --training_steps=500
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # started by `sh`, which may be another shell
set +o posix -euo pipefail
model_dir=$(dirname "$(dirname "$(readlink -f "$0")")")
summary='Trains PolyGen (vertex and face model), draws samples and freezes both models.'
defaults=(--training_steps=5000 --freeze=True)
# shellcheck source=polygen/test/options.sh
source "$model_dir/test/options.sh"
run_1p "$@"
