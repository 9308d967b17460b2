#!/usr/bin/env bash
# Trains on one GPU as the MindSpore port does: 80 epochs, a checkpoint each, into checkpoints/ckpt.
# Example: bash cmr/scripts/run_standalone_train_gpu.sh 0 [CKPT]
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
set -euo pipefail
# shellcheck source=cmr/scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"
expect 1 2 'run_standalone_train_gpu.sh DEVICE_ID [CKPT]' "$@"
export CUDA_VISIBLE_DEVICES=$1
in_background training_gpu.log "$cmr/train.py" --data_path="$data_path" --device="${CMR_DEVICE:-gpu}" \
  --num_epochs=80 --batch_size=16 --do_shuffle --keep_checkpoint_max=80 --checkpoint_steps=1771 \
  --save_checkpoint_dir="$cmr/checkpoints/ckpt" --pretrained_checkpoint="${2:-None}"
