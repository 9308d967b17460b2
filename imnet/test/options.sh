# shellcheck shell=bash disable=SC2034,SC2154
# What both launch scripts of IM-NET tell common/modelarts/train_1p.sh.
entry=train.py
default_batch_size=1
loss_prefix='Loss (ae):'
data_folder=data
model_paths=()
model_values=(
  'preset|quick or original'
  'stages|one of ae16, ae32, ae64, codes, gan, svr, meshes, freeze, evaluate; unset: all'
  'dataset|stem of the data files'
  gan_epochs svr_epochs z_dim ef_dim svr_ef_dim gf_dim gan_dim svr_learning_rate svr_batch_size
  checkpoint_every resolution extraction shapes_per_step num_meshes
)
model_flags=(leaky_clip he_init)

# shellcheck source=common/modelarts/train_1p.sh
source "$model_dir/../common/modelarts/train_1p.sh"
