#!/usr/bin/env bash
# Trains PolyGen on one device, then draws samples and freezes both models.
# Example: bash polygen/test/train_full_1p.sh --training_steps=500
set -euo pipefail
model_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
summary='Trains PolyGen (vertex and face model), draws samples and freezes both models.'
defaults=(--training_steps=5000 --freeze=True)
# shellcheck source=polygen/test/options.sh
source "$model_dir/test/options.sh"
run_1p "$@"
