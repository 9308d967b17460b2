# shellcheck shell=bash disable=SC2034
# Written by python -m common.launch_tables from imnet/options.py; do not edit.
entry=train.py
model_paths=()
model_values=(
  'dataset|stem of the files; unset: the only one'
  'preset|original, own, quick: sizes and epochs; own: fitted to a small set of your own; unset: original with --data_path, else quick'
  'stages|ae16, ae32, ae64, codes, gan, svr, meshes, freeze, evaluate: what to do'
  'points_per_step|points of a shape in a step, drawn anew each time; 0: all, as in the original'
  'schedule|constant, cosine: of the autoencoder'\''s learning rate: half a cosine falls to 0 at the last step'
  'augment_mirror|none, x, y, z, xz, xyz: axes along each of which every second shape is mirrored in the training of the autoencoder'
  'augment_scale|each axis of a shape longer by up to this share, or as much shorter, in the training of the autoencoder, as far as the cube has room'
  'loss|squared, cross_entropy: of the autoencoder; squared: as in the paper; cross_entropy: of the value before the clip, so that points far on the wrong side keep their gradient; unset: that of the weights that ship with --pretrained, else squared'
  'num_meshes|shapes in each gallery'
  'gan_epochs|of the GAN'
  'svr_epochs|of IM-SVR'
  'z_dim|latent dimension'
  'ef_dim|width unit of the voxel encoder'
  'svr_ef_dim|width unit of the picture encoder'
  'gf_dim|width unit of the decoder'
  'gan_dim|width of the GAN'
  'svr_learning_rate|of IM-SVR'
  'svr_batch_size|shapes in a step of IM-SVR'
  'checkpoint_every|epochs between checkpoints'
  'resolution|64, 128, 256, 512: of the meshes'
  'extraction|exact, octree: how surfaces are extracted'
)
model_flags=(
  'pretrained|take the trained weights that ship with the model (<model>/pretrained)'
  'he_init|see IMGAN/main.py'
  'leaky_clip|see IMGAN/main.py'
)
model_aliases=(
  'shapes_per_step|batch_size'
)
