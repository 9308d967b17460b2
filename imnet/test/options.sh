# shellcheck shell=bash disable=SC2034,SC2154
# What both launch scripts of IM-NET tell common/modelarts/train_1p.sh besides the tables of options.
default_batch_size=1
loss_prefix='Loss (ae):'
data_folder=data

# shellcheck source=imnet/test/tables.sh
source "$model_dir/test/tables.sh"
# shellcheck source=common/modelarts/train_1p.sh
source "$model_dir/../common/modelarts/train_1p.sh"
