# shellcheck shell=bash
# shellcheck disable=SC2034
# What the scripts of CMR share: the project's interpreter, and a run in the background with a log.
# The sets are looked for in $CMR_DATA, else in cmr/datasets.
project_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cmr=$project_dir/cmr
data_path=${CMR_DATA:-$cmr/datasets}

# Ends with the usage $3 for --help, and where the other arguments are options or not from $1 to $2.
expect() {
  local least=$1 most=$2 usage=$3 argument
  shift 3
  for argument in "$@"; do
    case $argument in
      -h | --help) echo "usage: bash $usage" && exit 0 ;;
      -*) echo "error: unknown option ${argument%%=*}; usage: bash $usage" >&2 && exit 2 ;;
    esac
  done
  if (($# < least || $# > most)); then
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
  PATH=$(dirname "$python"):$PATH nohup "$python" "$@" >"$log" 2>&1 &
  echo "process $! writes to $log"
}
