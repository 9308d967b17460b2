#!/usr/bin/env bash
# Converts PyTorch's ResNet-50 for --pretrained_checkpoint.
# Example: bash cmr/scripts/convert_resnet.sh resnet50-19c8e357.pth pretrained_resnet50.ckpt
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
set -euo pipefail
# shellcheck source=cmr/scripts/common.sh
source "$(dirname "$(readlink -f "$0")")/common.sh"
expect 2 2 'convert_resnet.sh PTH_PATH CKPT_PATH' "$@"
in_background convert_resnet.log "$cmr/src/utils/pth2ckpt.py" \
  --pth-path="$(realpath "$1")" --ckpt-path="$(realpath -m "$2")"
