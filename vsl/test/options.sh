# shellcheck shell=bash disable=SC2034,SC2154
# What both launch scripts of VSL tell common/modelarts/train_1p.sh besides the tables of options.
default_batch_size=100
loss_prefix='Loss:'
data_folder=dataset

# shellcheck source=vsl/test/tables.sh
source "$model_dir/test/tables.sh"
# shellcheck source=common/modelarts/train_1p.sh
source "$model_dir/../common/modelarts/train_1p.sh"
