# shellcheck shell=bash disable=SC2034,SC2154
# What both launch scripts of PolyGen tell common/modelarts/train_1p.sh.
entry=train.py
default_batch_size=4
loss_prefix='Loss (vertices):'
data_folder=meshes
model_paths=('validation_path|held-out meshes; the best checkpoint is the best on them')
model_values=(
  'preset|size of both models and what goes with it: seed or large'
  hidden_size fc_size num_heads vertex_layers encoder_layers face_layers quantization_bits
  dropout_rate vertex_dropout_rate num_classes max_vertices max_face_tokens sample_vertices sample_face_tokens
  schedule warmup_steps gradient_clip num_buckets eval_every sample_every num_samples
  temperature top_k top_p
)
model_flags=(
  'strict|refuse meshes that cannot be used instead of leaving them out'
  'sample|draw samples at the end'
  'freeze|write both models as .pb at the end'
  class_conditional face_class_conditional memory_efficient shuffle random_shift is_training
  shuffle_vertices shared_optimizer exact_quantization keep_winding plain top_k_per_row valid_only
)

# shellcheck source=common/modelarts/train_1p.sh
source "$model_dir/../common/modelarts/train_1p.sh"
