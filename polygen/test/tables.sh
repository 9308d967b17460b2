# shellcheck shell=bash disable=SC2034
# Written by python -m common.launch_tables from polygen/options.py; do not edit.
entry=train.py
model_paths=(
  'validation_path|held-out meshes; the best checkpoint is the best on them'
)
model_values=(
  'schedule|constant, cosine: of the learning rate (of the preset unless given)'
  'warmup_steps|in which the learning rate rises (of the preset unless given)'
  'gradient_clip|largest norm of the gradient of the loss per token, 0: any (of the preset unless given)'
  'num_buckets|groups of meshes of like length, each with its own static shapes, with --plain or on the NPU (of the preset unless given)'
  'eval_every|steps between evaluations on --validation_path; 0: at the end'
  'sample_every|steps between samples; 0: at the end'
  'num_samples|meshes to draw each time'
  'hidden_size|width of both models (of the preset unless given)'
  'fc_size|width of the hidden layer of the MLPs (of the preset unless given)'
  'num_heads|attention heads (of the preset unless given)'
  'vertex_layers|layers of the vertex decoder (of the preset unless given)'
  'encoder_layers|layers of the vertex encoder of the face model (of the preset unless given)'
  'face_layers|layers of the face decoder (of the preset unless given)'
  'max_vertices|rows of the table of vertex positions; meshes with more are left out (of the preset unless given)'
  'max_face_tokens|rows of the table of face positions; meshes with more are left out (of the preset unless given)'
  'sample_vertices|vertices of a sample at most (of the preset unless given)'
  'sample_face_tokens|face tokens of a sample at most (of the preset unless given)'
  'quantization_bits|bits of a coordinate, 8 at most'
  'dropout_rate|of the Transformers, where --is_training (of the preset unless given)'
  'vertex_dropout_rate|of the vertex model; unset: --dropout_rate, and 0.4 in the preset published'
  'num_classes|classes; 0: as many as the data has (of the preset unless given)'
  'temperature|divides the logits'
  'top_k|keep the k best tokens; 0 keeps all'
  'top_p|keep the best tokens that reach this probability; 0 is greedy, 1 keeps all'
  'preset|large, published, seed: seed: the toy experiment; large: sets of real meshes; published: the networks of the released checkpoints'
)
model_flags=(
  'shuffle|another order of the meshes in each round (of the preset unless given)'
  'random_shift|shift each mesh inside the cube (of the preset unless given)'
  'is_training|dropout (the original'\''s notebook never turns it on) (of the preset unless given)'
  'shuffle_vertices|random order of the vertices that the face model sees'
  'strict|refuse meshes that cannot be used instead of leaving them out'
  'sample|draw samples'
  'freeze|write both models as .pb at the end'
  'class_conditional|the vertex model is told the class'
  'face_class_conditional|the face model is told the class'
  'top_k_per_row|top_k row by row, as one would expect; the original has one threshold for all rows'
  'valid_only|draw only tokens that a mesh can go on with (paper, sections 3.1 and 3.2; not in the original)'
  'pretrained|take the trained weights that ship with the model (<model>/pretrained)'
  'shared_optimizer|one Adam for both models, as in the original, where each update advances the bias correction of both'
  'memory_efficient|attention head by head, computed again in the backward pass; other variables (of the preset unless given)'
  'plain|compute every step as the original does, padding too; the NPU always does'
  'exact_quantization|round coordinates instead of cutting them off'
  'keep_winding|keep the direction of simple faces'
)
model_aliases=()
