#!/usr/bin/env bash
# Trains on several GPUs of this machine: 80 epochs into checkpoints/ckpt_rank0, a checkpoint an epoch.
# By Horovod where it is installed, else by TensorFlow's own collectives. CMR_DEVICE=cpu takes CPUs.
# Example: bash cmr/scripts/run_distributed_train_gpu.sh 8 [CKPT]
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
set -euo pipefail
# shellcheck source=cmr/scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"
expect 1 2 'run_distributed_train_gpu.sh DEVICE_NUM [CKPT]' "$@"
[[ $1 =~ ^[1-9][0-9]*$ ]] || expect 1 0 'run_distributed_train_gpu.sh DEVICE_NUM [CKPT]' "$@"
batch=$((16 * $1))  # 16 pictures a device, as the MindSpore port
launcher=("$project_dir/common/processes.py" --count="$1" --)
if "$(bash "$project_dir/setup.sh" --print-python)" -c 'import horovod' 2>/dev/null; then
  launcher=(-m horovod.runner.launch --gloo -np "$1" -H "localhost:$1" python)
fi
in_background distribute_training_gpu.log "${launcher[@]}" "$cmr/train.py" --data_path="$data_path" --device="${CMR_DEVICE:-gpu}" --distribute \
  --num_epochs=80 --batch_size="$batch" --keep_checkpoint_max=80 --checkpoint_steps=$((28344 / batch)) \
  --save_checkpoint_dir="$cmr/checkpoints/ckpt_rank0" --pretrained_checkpoint="${2:-None}"
