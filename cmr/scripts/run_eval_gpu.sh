#!/usr/bin/env bash
# Measures a checkpoint on one GPU.
# Example: bash cmr/scripts/run_eval_gpu.sh 0 up-3d cmr/checkpoints/ckpt
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
set -euo pipefail
# shellcheck source=cmr/scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"
expect 3 3 'run_eval_gpu.sh DEVICE_ID DATASET CKPT' "$@"
export CUDA_VISIBLE_DEVICES=$1
in_background eval_gpu.log "$cmr/eval.py" --data_path="$data_path" --device="${CMR_DEVICE:-gpu}" \
  --dataset="$2" --checkpoint="$(realpath -m "$3")" --log_freq=10
