# shellcheck shell=bash disable=SC2034
# Written by python -m common.launch_tables from common/cli.py; do not edit.
common_paths=(
  'data_path|data: the folder itself or its parent (also --datapath, --data_dir)'
  'output_path|checkpoints, samples and records (default: a folder below test/output)'
  'checkpoint|where to start from (also --ckpt_path)'
  'modify_mixlist|JSON file that changes the lists of mixed precision'
  'fusion_switch_file|JSON file that switches fusion passes'
  'customize_dtypes|file with the dtypes of single operators'
  'op_cache_dir|where compiled operators are kept between runs'
)
common_values=(
  'training_steps|optimizer steps in all (also --train_steps)'
  'train_epochs|epochs, where the model counts in epochs (also --total_epoch, --epoch)'
  'batch_size|samples in a step'
  'learning_rate|of the optimizer'
  'conda_name|conda environment to activate first'
  'seed|of every random draw'
  'save_every|steps between checkpoints'
  'keep_checkpoints|newest checkpoints that are kept'
  'report_every|steps between report lines'
  'device|auto, cpu, gpu, npu: auto takes an NPU, else a GPU, else the CPU'
  'precision_mode|mix (= allow_mix_precision), default (what the platform does by itself), or a mode of the adapter such as must_keep_origin_dtype; unset: allow_mix_precision on an NPU, float32 elsewhere'
  'threads|CPU threads of an operation; 0 leaves the choice to TensorFlow'
  'distribution|auto, none, tf, hccl, horovod: how several processes train together: a batch is shared out among them; auto takes HCCL on NPUs (RANK_SIZE), Horovod below horovodrun, TensorFlow itself (tf) where TF_CONFIG names several'
  'peer_timeout|with --distribution tf: how long another process may be unreachable or silent before this one ends'
  'precision_mode_v2|mode of newer adapters, instead of --precision_mode'
  'loss_scale|False, True or dynamic (adapts itself), or a fixed number from 1 up'
  'data_dump_step|steps to dump, as 0|5|10 or 0|3-5'
)
common_flags=(
  'bind_core|keep to the share of the cores that belongs to this device'
  'resume|go on from the newest checkpoint in the output folder; --noresume sets what is there aside and starts anew'
  'debug|show tracebacks and the messages of TensorFlow'
  'modelzoo_log|with each report also the "Loss (name): value" lines that ModelZoo tools look for'
  'over_dump|dump floating point overflows to <output_path>/overflow_dump'
  'data_dump_flag|dump tensors to <output_path>/data_dump'
  'profiling|write profiles to <output_path>/profiling'
  'autotune|tune operators, into <output_path>/autotune_dump'
  'mix_compile_mode|run operators that the NPU lacks on the host'
  'hcom_parallel|overlap gradient exchange with the backward pass'
  'deterministic|reproducible sums, slower'
)
common_aliases=(
  'datapath|data_path'
  'data_dir|data_path'
  'ckpt_path|checkpoint'
  'train_steps|training_steps'
  'total_epoch|train_epochs'
  'epoch|train_epochs'
)
