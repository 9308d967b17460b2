#!/usr/bin/env bash
# Runs PolyGen's smoke test, forward passes and samples of both models, with the project's Python.
# Example: bash polygen/test/model_test.sh
set -euo pipefail
model_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$(bash "$model_dir/../setup.sh" --print-python)
exec "$python" "$model_dir/model_test.py" "$@"
