# shellcheck shell=bash disable=SC2034
# Written by python -m common.launch_tables from r2n2/options.py; do not edit.
entry=main.py
model_paths=(
  'cfg|YAML file of settings; may be given again'
  'dataset|JSON of the categories to use'
)
model_values=(
  'model|network: LSTM1Net, GRU1Net, LSTM3Net, GRUNet or ResidualGRUNet; CONST.NETWORK_CLASS'
  'preset|own: own: a set of your own meshes, on a CPU: quick.yaml, batch and length by the number of models, from the weights that ship where they are, measured at the end'
  'views|measure with one to so many views; unset: random numbers of views, as in the original'
  'pictures|models in the picture of measuring, one of each category in turn'
  'n_views|CONST.N_VIEWS, views of a model at most'
  'workers|TRAIN.NUM_WORKER, processes that make batches'
  'exp|TEST.EXP_NAME, folder below eval/'
  'net|label of the run, as in the original; unused'
  'gpu|device of the original, e.g. gpu0: hides the other GPUs'
  'init_iter|of the original; a resumed run knows its step, so it has no effect'
)
model_flags=(
  'train|train'
  'test|measure only; the same as --notrain --evaluate'
  'evaluate|measure after training'
  'freeze|write a .pb at the end'
  'pretrained|take the trained weights that ship with the model (<model>/pretrained)'
  'mask_views|one graph with a mask instead of one for each number of views; always on the NPU'
  'plain|compute as the original does, view by view; always on GPU and NPU'
  'rand|a random seed'
)
model_aliases=(
  'iter|training_steps'
  'weights|checkpoint'
  'out|output_path'
)
