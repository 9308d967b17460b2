# shellcheck shell=bash disable=SC2034,SC2154
# What both launch scripts of VSL tell common/modelarts/train_1p.sh.
entry=vsl_main.py
default_batch_size=100
loss_prefix='Loss:'
data_folder=dataset
model_paths=('class_names|file with the names of the classes, a line each')
model_values=(
  'preset|furniture, modelnet10, modelnet40 or modelnet40-paper'
  'stages|out of train,classify,reconstruct,generate,interpolate,tsne,metrics,freeze'
  'class|name or id of the class to generate and interpolate'
  global_latent_dim local_latent_dim local_latent_num kl_weight kl_warmup_steps free_nats
  schedule augment_shift augment_mirror renderer up print_step eval_every id1 id2 num_samples
)
model_flags=(
  'search_svm|C and gamma of the classifier by cross-validation too'
  'search_mirrored|the same with mirrored training shapes as further examples'
  'baselines|measure simple classifiers and a PCA too'
  merge_first_code decode_samples plain
)

# shellcheck source=common/modelarts/train_1p.sh
source "$model_dir/../common/modelarts/train_1p.sh"
