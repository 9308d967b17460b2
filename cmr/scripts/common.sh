# shellcheck shell=bash
# shellcheck disable=SC2034
# What the scripts of CMR share: the project's interpreter, and a run in the background with a log.
# The sets are looked for in $CMR_DATA, else in cmr/datasets.
project_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cmr=$project_dir/cmr
data_path=${CMR_DATA:-$cmr/datasets}

# Ends with the script's usage when the number of arguments is not from $1 to $2.
expect() {
  local least=$1 most=$2 usage=$3 given=$4
  if ((given < least || given > most)); then
    echo "usage: bash $usage" >&2
    exit 2
  fi
}

# Runs Python with the other arguments in the background; output goes to logs/$1.
in_background() {
  local log=$cmr/logs/$1
  shift
  mkdir -p "$(dirname "$log")"
  local python
  python=$(bash "$project_dir/setup.sh" --print-python)
  nohup "$python" "$@" >"$log" 2>&1 &
  echo "process $! writes to $log"
}
