# shellcheck shell=bash disable=SC2034
# Written by python -m common.launch_tables from vsl/options.py; do not edit.
entry=vsl_main.py
model_paths=(
  'class_names|names of the classes, a line each, or .json; unset: those that the data bring, else classes.txt beside them'
  'shape|mesh, .binvox or occupancies (.npy [30, 30, 30]) of your own: its code, class and reconstruction (stage encode)'
)
model_values=(
  'preset|furniture, modelnet10, modelnet40, modelnet40-paper: sizes by data set; unset: by the name of the data'
  'stages|out of train,classify,reconstruct,generate,interpolate,tsne,metrics,encode,freeze'
  'up|y, z: vertical axis of the grids in pictures'
  'renderer|surface, mayavi: mayavi adds the original'\''s pictures of cubes'
  'global_latent_dim|dimension of the global latent code (of the preset unless given)'
  'local_latent_dim|dimension of a local latent code (of the preset unless given)'
  'local_latent_num|local latent codes (of the preset unless given)'
  'schedule|constant, cosine: of the learning rate: half a cosine falls to 0 at the last step'
  'warmup_steps|in which the learning rate rises from 0; unset: 0, or 100 for a small set of your own'
  'kl_weight|of the KL divergence beside the reconstruction'
  'kl_warmup_steps|in which that weight rises from 0'
  'free_nats|KL divergence of each code that costs nothing'
  'augment_shift|cells by which shapes are moved at random in training, at most'
  'augment_mirror|none, x, y, xy: axes along each of which every second shape is mirrored in training'
  'print_step|epochs between pictures of reconstructions; 0: none'
  'eval_every|epochs between measurements of accuracy and IoU; 0: at the end only'
  'class|name or id of the class to generate and interpolate'
  'id1|test shape of that class, from 0, where the interpolation ends; unset: 8, or the last one'
  'id2|where it starts'
  'num_samples|shapes to generate'
  'shape_up|y, z: vertical axis of that file'
)
model_flags=(
  'pretrained|take the trained weights that ship with the model (<model>/pretrained)'
  'merge_first_code|let the first local code see the shape, which the original meant but does not do; unset: as trained, else not'
  'decode_samples|train the decoder on sampled codes, not on means; unset: as trained, else not'
  'plain|strided convolutions as single operations; unset: on GPU and NPU (on a CPU they take minutes a step)'
  'search_svm|also C and gamma by cross-validation on the training split'
  'search_mirrored|the same once more, with the training shapes mirrored along x and along y as further examples (minutes with --baselines)'
  'baselines|also simple classifiers, and the IoU of a PCA'
)
model_aliases=()
