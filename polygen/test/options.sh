# shellcheck shell=bash disable=SC2034,SC2154
# What both launch scripts of PolyGen tell common/modelarts/train_1p.sh besides the tables of options.
default_batch_size=4
loss_prefix='Loss (vertices):'
data_folder=meshes

# shellcheck source=polygen/test/tables.sh
source "$model_dir/test/tables.sh"
# shellcheck source=common/modelarts/train_1p.sh
source "$model_dir/../common/modelarts/train_1p.sh"
