# shellcheck shell=bash disable=SC2034,SC2154
# What both launch scripts of CMR tell common/modelarts/train_1p.sh.
entry=train.py
default_batch_size=16
loss_prefix='Loss:'
data_folder=datasets
model_paths=(
  'body|body model or its folder'
  'mesh_levels|mesh_downsampling.npz'
)
model_values=(
  'dataset|itw, all, up-3d, lsp-orig, mpii or coco'
  resnet_width num_channels num_layers img_res num_workers eval_every
)
model_flags=(evaluate freeze plain)

# shellcheck source=common/modelarts/train_1p.sh
source "$model_dir/../common/modelarts/train_1p.sh"
