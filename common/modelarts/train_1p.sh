# shellcheck shell=bash disable=SC2154  # the variables below come from the launch script
# What the launch scripts <model>/test/train_{full,performance}_1p.sh share: one process on one device.
# With RANK_TABLE_FILE, RANK_SIZE and RANK_ID it is one of several, whose batch is shared out.
#
# A launch script sets these variables, sources <model>/test/options.sh and calls `run_1p "$@"`:
#   model_dir            absolute path of the model's folder
#   summary              one sentence for --help
#   defaults             array of --name=value for the entry; options of the command line win
#   output_folder        optional: folder below test/output/$ASCEND_DEVICE_ID for --output_path
# options.sh sets these, sources tables.sh beside it, and this file:
#   default_batch_size   for the result file, where neither config.json nor --batch_size says another
#   loss_prefix          start of the lines whose last word is the loss, e.g. 'Loss (vertices):'
#   data_folder          name of the folder that a parent given as --data_path may hold
# tables.sh is written by `python -m common.launch_tables` from the model's parser:
#   entry                Python script in model_dir; it knows the options of common/cli.py
#   model_values, model_flags, model_paths   arrays of 'name|meaning', the entry's own options: with a
#                        value, without one (True|False), and paths
#   model_aliases        array of 'further name|name'
# The entry prints `StepTime: s`, lines with loss_prefix, and may print `Accuracy: v`. Without --data_path
# it uses what ships with the project, or makes data, and says so.

# shellcheck source=common/modelarts/tables.sh
source "$model_dir/../common/modelarts/tables.sh" # common_values, common_flags, common_paths, common_aliases

# ${array[@]+"${array[@]}"} below: bash before 4.4 (CentOS 7) calls an empty array unbound.

say() { printf '%s\n' "$*"; }

# fail CODE MESSAGE...
fail() {
  printf 'error: %s\n' "${*:2}" >&2
  exit "$1"
}

usage() {
  say "$summary"
  say
  say "usage: bash test/$script [--name=value | --name value | --flag[=True|False] | --noflag]..."
  list '=...' "${common_paths[@]}" "${common_values[@]}"
  list '' "${common_flags[@]}"
  list '=...' ${model_paths[@]+"${model_paths[@]}"} ${model_values[@]+"${model_values[@]}"}
  list '' ${model_flags[@]+"${model_flags[@]}"}
  [[ -z ${defaults[*]-} ]] || say "Set without being asked: ${defaults[*]}"
  say "Log and results: test/output/\$ASCEND_DEVICE_ID; the same command again goes on where it stopped."
}

# Prints the rows of tables, their meanings in a column; $1 goes behind each name.
list() {
  local ending=$1
  shift
  (($#)) || return 0
  printf '%s\n' "$@" | awk -v ending="$ending" '{
    bar = index($0, "|")
    line = sprintf("  --%-26s", substr($0, 1, bar - 1) ending)
    count = split(substr($0, bar + 1), words, " ")
    for (i = 1; i <= count; i++) {
      if (length(line) + length(words[i]) >= 100) {
        print line
        line = sprintf("%30s", "")
      }
      line = line " " words[i]
    }
    print line
  }'
}

# Is $1 the name in a row of the table that follows?
in_table() {
  local name=$1 row
  shift
  for row in "$@"; do
    [[ ${row%%|*} != "$name" ]] || return 0
  done
  return 1
}

# Prints value, flag or path, or nothing for an option that nobody knows.
kind_of() {
  if in_table "$1" "${common_paths[@]}" ${model_paths[@]+"${model_paths[@]}"}; then
    say path
  elif in_table "$1" "${common_values[@]}" ${model_values[@]+"${model_values[@]}"}; then
    say value
  elif in_table "$1" "${common_flags[@]}" ${model_flags[@]+"${model_flags[@]}"}; then
    say flag
  fi
}

# Prints the one name of an option that has several.
canonical() {
  local name=${1//-/_} row
  for row in "${common_aliases[@]}" ${model_aliases[@]+"${model_aliases[@]}"}; do
    [[ ${row%%|*} != "$name" ]] || { say "${row#*|}" && return; }
  done
  say "$name"
}

is_boolean() { [[ ${1,,} =~ ^(true|false|1|0|yes|no)$ ]]; }
is_true() { [[ ${1,,} =~ ^(true|1|yes)$ ]]; }

# Fills `options` (name -> value; of several the last counts) and `order` from a command line.
parse() {
  local name value kind
  while (($#)); do
    [[ $1 != -h && $1 != --help ]] || { usage && exit 0; }
    [[ $1 == --?* ]] || fail 2 "unexpected \"$1\": options are --name=value; --help lists them."
    name=${1%%=*}
    name=$(canonical "${name#--}")
    kind=$(kind_of "$name")
    if [[ $1 == *=* ]]; then
      value=${1#*=}
    elif [[ $kind == flag ]]; then
      value=True
      if (($# > 1)) && is_boolean "$2"; then
        value=$2
        shift
      fi
    elif [[ -z $kind && $name == no* && $(kind_of "$(canonical "${name#no}")") == flag ]]; then
      name=$(canonical "${name#no}") kind=flag value=False
    elif [[ -n $kind ]]; then
      value=${2:-}
      [[ -n $value && $value != --* ]] || fail 2 "$1 needs a value: $1=..."
      shift
    fi
    [[ -n $kind ]] || fail 2 "unknown option ${1%%=*}; bash $script --help lists the options."
    [[ -n $value ]] || fail 2 "--$name needs a value."
    [[ $kind != flag ]] || is_boolean "$value" || fail 2 "--$name must be True or False, not \"$value\"."
    [[ $kind != path ]] || value=$(realpath -ms -- "$value") # the training runs in another folder
    [[ -n ${options[$name]+set} ]] || order+=("$name")
    options[$name]=$value
    shift
  done
}

# Settles --data_path: as given, or the data folder inside it.
find_data() {
  local path=${options[data_path]:-}
  [[ -n $path ]] || return 0
  [[ -e $path ]] || fail 1 "--data_path=$path does not exist; name a folder with the data, or leave" \
    "the option out for what ships with the project."
  if [[ -n $data_folder && -d $path/$data_folder ]]; then
    options[data_path]=$path/$data_folder
    say "training on ${options[data_path]}"
  fi
}

set_environment() {
  local file
  if [[ -z ${RANK_TABLE_FILE:-} || ${RANK_SIZE:-1} == [01] ]]; then
    [[ ${RANK_SIZE:-1} == [01] ]] ||
      say "note: RANK_SIZE=$RANK_SIZE is left aside: several processes need a RANK_TABLE_FILE too."
    RANK_SIZE=1 RANK_ID=0
  fi
  [[ $RANK_SIZE =~ ^[0-9]+$ && ${RANK_ID:-} =~ ^[0-9]+$ ]] ||
    fail 2 "RANK_ID and RANK_SIZE must be numbers, not \"${RANK_ID:-}\" and \"$RANK_SIZE\"."
  RANK_SIZE=$((10#$RANK_SIZE)) RANK_ID=$((10#$RANK_ID))
  ((RANK_ID < RANK_SIZE)) || fail 2 "RANK_ID must be below RANK_SIZE $RANK_SIZE, not $RANK_ID."
  export RANK_SIZE RANK_ID JOB_ID=${JOB_ID:-10087} PYTHONUNBUFFERED=1
  export ASCEND_GLOBAL_LOG_LEVEL=${ASCEND_GLOBAL_LOG_LEVEL:-3} ASCEND_DEVICE_ID=${ASCEND_DEVICE_ID:-0}
  [[ $ASCEND_DEVICE_ID =~ ^[0-9]+$ ]] ||
    fail 2 "ASCEND_DEVICE_ID must be a number such as 0, not \"$ASCEND_DEVICE_ID\"."
  export DEVICE_ID=$ASCEND_DEVICE_ID DEVICE_INDEX=$ASCEND_DEVICE_ID
  [[ -z ${ASCEND_HOME_PATH:-}${ASCEND_OPP_PATH:-} ]] || return 0
  for file in {/usr/local,"${HOME:-}"}/Ascend/{ascend-toolkit,nnae,tfplugin}/set_env.sh; do
    if [[ -f $file ]]; then
      set +eu
      # shellcheck disable=SC1090
      source "$file"
      set -eu
    fi
  done
}

activate_conda() {
  local name=${options[conda_name]:-} base
  [[ -n $name ]] || return 0
  base=$(conda info --base 2>/dev/null) ||
    fail 1 "--conda_name=$name: there is no conda on PATH; leave the option out, setup.sh finds a Python."
  set +eu
  # shellcheck disable=SC1091
  if ! source "$base/etc/profile.d/conda.sh" || ! conda activate "$name"; then
    fail 1 "--conda_name=$name: conda cannot activate it; \"conda env list\" shows what there is."
  fi
  set -eu
  PYTHON=$(command -v python)
  export PYTHON
}

# Fills `prefix` with the command that binds the training to its share of the cores.
bind_core() {
  local cores width first
  prefix=()
  is_true "${options[bind_core]:-False}" || return 0
  command -v taskset >/dev/null || fail 1 '--bind_core needs the program taskset (package util-linux).'
  cores=$(nproc)
  width=$((cores / 8 > 0 ? cores / 8 : 1))
  first=$((10#$ASCEND_DEVICE_ID * width % cores)) # the device, since the rank of a single process is 0
  prefix=(taskset -c "$first-$((first + width - 1))")
}

# Passes a signal on to the training, which saves a checkpoint and ends.
forward() {
  interrupted=1
  [[ -n $child ]] || exit "$2"
  kill -s "$1" "$child" 2>/dev/null || true
}

# Runs the entry with its output in $log and on the terminal; its exit code is in `status`.
run_entry() {
  local viewer arguments=() name
  for name in "${order[@]}"; do
    in_table "$name" 'conda_name|' 'bind_core|' || arguments+=("--$name=${options[$name]}")
  done
  child='' interrupted=''
  trap 'forward INT 130' INT
  trap 'forward TERM 143' TERM HUP
  : >"$log"
  set -m # the training gets a process group of its own: a signal reaches it once, through `forward`
  (cd "$results" && exec ${prefix[@]+"${prefix[@]}"} "$python" "$model_dir/$entry" "${arguments[@]}") \
    >>"$log" 2>&1 </dev/null &
  child=$!
  tail -n +1 -s 0.2 -f --pid="$child" "$log" </dev/null &
  viewer=$!
  set +m
  while :; do
    interrupted=''
    if wait "$child"; then status=0; else status=$?; fi
    [[ -n $interrupted ]] || break
  done
  trap '' INT TERM HUP
  wait "$viewer" || true
}

# Prints the last word of every line of the log that holds the given text.
values_of() { tr '\r' '\n' <"$log" | grep -aF -- "$1" | awk '{print $NF}' || true; }

# Prints the losses of the run. The last one, which the run tells again after the StepTime, comes once.
losses() {
  tr '\r' '\n' <"$log" | LC_ALL=C awk -v prefix="$loss_prefix" '
    index($0, "StepTime:") {at_end = 1}
    index($0, prefix) {
      if (!(at_end && $NF == last)) print $NF
      last = $NF
      at_end = 0
    }'
}

last_number() { values_of "$1" | grep -E '^[0-9.eE+-]+$' | tail -n 1 || true; }

# Prints the batch size that the run settled on (a preset may have its own).
resolved_batch_size() {
  local value
  value=$(sed -n 's/^ *"batch_size": \([0-9][0-9]*\),\{0,1\}$/\1/p' \
    "${options[output_path]}/config.json" 2>/dev/null | head -n 1 || true)
  say "${value:-${options[batch_size]:-$default_batch_size}}"
}

# Was an NPU to be used, and was it? Prints the notice and turns a missing NPU that was asked for into 1.
notice() {
  local word=INFO text device=${options[device]:-auto}
  if ((status == 130 || status == 143)); then
    word=ERROR text="training was interrupted after a checkpoint; the same command goes on from there."
  elif ((status > 128)); then
    word=ERROR text="training was killed by signal $((status - 128)); the same command goes on from the last checkpoint."
  elif ((status)); then
    word=ERROR text="training failed with exit code $status; see $log"
  elif grep -aqF 'The model has been compiled on the Ascend AI processor' "$log"; then
    text='the Ascend NPU was used.'
  elif [[ $device == npu ]]; then
    word=ERROR status=1 text='--device=npu, but the log has no sign that the NPU was used.'
  elif [[ $device == auto ]] && compgen -G '/dev/davinci[0-9]*' >/dev/null; then
    word=ERROR text='this host has an NPU, but the log has no sign that it was used.'
  else
    text='no NPU was asked for or found; trained on CPU or GPU.'
  fi
  say "------------------ $word NOTICE START------------------"
  say "$word, $text"
  say "------------------ $word NOTICE END------------------"
}

final_block() {
  say '------------------ Final result ------------------'
  if ((status)); then
    say "ERROR : exit code $status, no result"
  else
    say "Final Performance images/sec : $fps"
    say "Final Performance sec/step : $step_time"
    [[ -z $accuracy ]] || say "Final Train Accuracy : $accuracy"
    [[ -z $test_accuracy ]] || say "Final Test Accuracy : $test_accuracy"
  fi
  say "E2E Training Duration sec : $duration"
}

# Writes the result file and the losses, one a line, under the two names that ModelZoo's tools look for.
write_results() {
  local case_name=${network}_bs${batch_size}_${RANK_SIZE}p_$kind_of_run
  losses | tee "$results/${case_name}_loss.txt" >"$results/train_${case_name}_loss.txt"
  {
    say "Network = $network"
    say "RankSize = $RANK_SIZE"
    say "BatchSize = $batch_size"
    say "DeviceType = $(uname -m)"
    say "CaseName = $case_name"
    say "ActualFPS = $fps"
    say "TrainingTime = $step_time"
    [[ -z $accuracy ]] || say "TrainAccuracy = $accuracy"
    [[ -z $test_accuracy ]] || say "TestAccuracy = $test_accuracy"
    say "ActualLoss = $(last_number "$loss_prefix")"
    say "E2ETrainingTime = $duration"
  } >"$results/.$case_name.log"
  mv "$results/.$case_name.log" "$results/$case_name.log"
  say "results: $results/$case_name.log"
}

# Reads the log, prints notice and final block, keeps the result files true to the state of the training.
report() {
  local network=${model_dir##*/} batch_size fps=unknown step_time accuracy='' test_accuracy=''
  notice
  step_time=$(last_number 'StepTime:')
  if [[ $kind_of_run == acc ]]; then
    accuracy=$(last_number 'Accuracy (train):')
    test_accuracy=$(last_number 'Accuracy:')
    # A model with one figure alone has it where ModelZoo's tools look.
    [[ -n $accuracy ]] || { accuracy=$test_accuracy; test_accuracy=''; }
  fi
  batch_size=$(resolved_batch_size) # of all ranks together, so it gives the pace of all
  if [[ -n $step_time ]]; then
    fps=$(awk -v n="$batch_size" -v t="$step_time" 'BEGIN {if (t > 0) printf "%.4f", n / t; else print "unknown"}')
  fi
  if ((status)); then
    rm -f "$results"/{,train_}"$network"_bs*_"${RANK_SIZE}p_$kind_of_run"{.log,_loss.txt}
    final_block
  elif ((RANK_ID)); then
    say "rank $RANK_ID of $RANK_SIZE has ended; rank 0 saves, reports and has the result files"
  elif [[ -z $step_time ]]; then
    say "no step was measured in this run; result files of an earlier one stay in $results"
  else
    final_block
    write_results
  fi
}

# Sets `results`, where log and result files go: beside the model's scripts, or, where the code cannot be
# written to, into --output_path. Settles --output_path.
make_results() {
  local shared=$model_dir/test/output/0 # all ranks need the same one
  results=$model_dir/test/output/$ASCEND_DEVICE_ID
  if ! { mkdir -p "$results" && [[ -w $results ]]; } 2>/dev/null; then
    [[ -n ${options[output_path]:-} ]] ||
      fail 1 "cannot write to $results, where the log goes; give a folder for all: --output_path=..."
    results=${options[output_path]}
    mkdir -p "$results" || fail 1 "cannot make $results, where the log goes."
    say "log and results: $results"
  fi
  if [[ -z ${options[output_path]:-} ]]; then
    ((RANK_SIZE > 1)) || shared=$results
    parse "--output_path=$shared${output_folder:+/$output_folder}"
  fi
}

run_1p() {
  local -A options=()
  local order=() prefix python child interrupted status started duration kind_of_run=acc
  local results log script
  script=$(basename "$(readlink -f "$0")")
  [[ $script != *performance* ]] || kind_of_run=perf
  parse ${defaults[@]+"${defaults[@]}"} --modelzoo_log=True "$@"
  set_environment
  find_data
  activate_conda
  bind_core
  python=$(bash "$model_dir/../setup.sh" --print-python)
  make_results
  log=$results/train_$ASCEND_DEVICE_ID.log
  started=$(date +%s)
  run_entry
  duration=$(($(date +%s) - started))
  report
  exit "$status"
}
