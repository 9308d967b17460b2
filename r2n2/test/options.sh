# shellcheck shell=bash disable=SC2034,SC2154
# What both launch scripts of 3D-R2N2 tell common/modelarts/train_1p.sh.
entry=main.py
default_batch_size=36
loss_prefix='Loss:'
data_folder=ShapeNet
model_paths=(
  'cfg|YAML file of settings'
  'dataset|JSON of the categories to use'
)
model_values=(
  'model|LSTM1Net, GRU1Net, LSTM3Net, GRUNet or ResidualGRUNet'
  'views|measure with up to so many views'
  n_views workers exp
)
model_flags=(evaluate freeze mask_views plain)

# shellcheck source=common/modelarts/train_1p.sh
source "$model_dir/../common/modelarts/train_1p.sh"
