# shellcheck shell=bash disable=SC2034
# Written by python -m common.launch_tables from cmr/options.py; do not edit.
entry=train.py
model_paths=(
  'body|body model (.npz, or SMPL'\''s .pkl) or its folder; unset: the free body that ships'
  'mesh_levels|mesh_downsampling.npz; unset: beside the body'
  'from_json|JSON of options; those of the command line are not replaced (also --config)'
)
model_values=(
  'dataset|all, itw, coco, h36m, lsp-orig, mpii, up-3d: mixture or set (itw; up-3d without --data_path)'
  'adam_beta1|decay of the mean gradient in Adam'
  'schedule|constant, cosine: of the learning rate: half a cosine, 0 behind the last step (another --training_steps, another curve)'
  'wd|weight decay'
  'rot_factor|standard deviation of rotations, degrees'
  'noise_factor|largest noise of a channel'
  'scale_factor|standard deviation of scales'
  'num_workers|processes that make batches'
  'eval_every|steps between measurements on the test set, with --evaluate; 0: before and after'
  'time_to_run|seconds after which to save and stop; the same command goes on'
  'num_channels|width of the graph network (of the run or checkpoint, else 256)'
  'num_layers|residual layers of the graph network (of the run or checkpoint, else 5)'
  'img_res|pixels a side (of the run or checkpoint, else 224)'
  'resnet_width|channels of the encoder'\''s first stage; 64 is ResNet-50 (of the run or checkpoint, else 64)'
  'regressor_width|width of the regressor of SMPL'\''s parameters (of the run or checkpoint, else 1024)'
  'device_target|Ascend, CPU, GPU: the same as --device, in the MindSpore port'\''s words'
  'name|folder below --output_path'
  'model|graphcnn, baseline: without effect, as in the original'
  'test_steps|without effect, as in the original'
)
model_flags=(
  'pretrained|take the trained weights that ship with the model (<model>/pretrained)'
  'evaluate|measure on the test set of UP-3D before and after'
  'freeze|write a .pb at the end'
  'augmentation|augment at all (default: with --data_path)'
  'augmentation_rgb|noise of the channels'
  'shuffle|another order in each epoch; --noshuffle is the original'\''s default (also --do_shuffle, --shuffle_train)'
  'sync_batch_norm|statistics of all processes together; the original takes those of each'
  'drop_noise|leave out of training what only rounding noise moves: biases before a normalisation, the template'\''s share of the regressor'
  'nearest_rotation|map matrices of negative determinant to the nearest rotation; the original, and its weights, take minus the polar factor'
  'stretch|stretch the contrast of crops as the original (scipy) did; --nostretch as the MindSpore port, and nothing is cut to bytes or whole pixels behind it'
  'plain|compute as the original does, nothing shared; slower'
  'distribute|several processes, as --distribution=auto finds them anyway'
)
model_aliases=(
  'num_epochs|train_epochs'
  'lr|learning_rate'
  'pretrained_checkpoint|checkpoint'
  'do_shuffle|shuffle'
  'shuffle_train|shuffle'
  'save_checkpoint_dir|output_path'
  'log_dir|output_path'
  'keep_checkpoint_max|keep_checkpoints'
  'checkpoint_steps|save_every'
  'summary_steps|report_every'
  'config|from_json'
)
