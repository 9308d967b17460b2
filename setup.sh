#!/usr/bin/env bash
# Finds or makes the Python environment of this project and prints the interpreter to use.
#
#   bash setup.sh [--dev]                        makes .venv beside this file (about a minute)
#   python=$(bash setup.sh --print-python)       the same; stdout holds nothing but the interpreter
#
#   --dev            adds what tests/run.sh needs (requirements-dev.txt)
#   --print-python   prints the path of the interpreter alone on stdout
#   --help           this text
#
# Which interpreter, first that fits:
#   1. $PYTHON, or with an activated environment or CANN the one on PATH, if it imports TensorFlow 1.15:
#      used as it is, nothing is installed (an Ascend host, a ModelArts container)
#   2. .venv, if it was completed from the present requirements files
#   3. the one on PATH, if it imports TensorFlow 1.15
#   4. .venv, made or completed with a Python 3.7: $PYTHON, PATH, pyenv, conda, and last uv
# pip's own settings in the environment and in its configuration files hold. A broken-off installation
# is taken up again by the next run; of two runs at once the second waits.
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$root/.venv
tools=(pip==24.0 setuptools==68.0.0 wheel==0.42.0)
uv_pin=uv==0.6.0  # later ones no longer offer Python 3.7

# module=package, in the order in which they are imported for the final check
modules=(
  tensorflow=tensorflow sonnet=dm-sonnet tensorflow_probability=tensorflow-probability
  tensor2tensor.layers.common_attention=tensor2tensor cv2=opencv-python-headless h5py=h5py
  mcubes=PyMCubes scipy=scipy sklearn=scikit-learn skimage=scikit-image trimesh=trimesh
  networkx=networkx rtree=Rtree matplotlib=matplotlib PIL=Pillow yaml=PyYAML tqdm=tqdm
)
dev_modules=(pytest=pytest ruff=ruff mypy=mypy)

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

usage() { sed -n '2,/^[^#]/{/^[^#]/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

parse_arguments() {
  dev='' print_python=''
  while (($#)); do
    case $1 in
      --dev) dev=1 ;;
      --print-python) print_python=1 ;;
      -h | --help)
        usage
        exit 0
        ;;
      *)
        printf 'error: setup.sh does not know "%s"; see bash setup.sh --help.\n' "$1" >&2
        exit 2
        ;;
    esac
    shift
  done
  lock_files=("$root/requirements.txt")
  if [[ -n $dev ]]; then
    lock_files+=("$root/requirements-dev.txt")
    modules+=("${dev_modules[@]}")
  fi
}

# Digest of what the environment is made from: the tools and the given files.
digest() { { printf '%s\n' "${tools[@]}" && cat "$@"; } | cksum; }

# Is .venv complete? Reads one small file and starts no Python.
complete() {
  local stamp=$venv/.complete${dev:+-dev}
  [[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$(digest "${lock_files[@]}")" ]]
}

finish() {
  if [[ -n $print_python ]]; then
    printf '%s\n' "$1"
  else
    printf 'Python: %s\n' "$1"
  fi
  exit 0
}

has_tensorflow_1_15() {
  "$1" -c '
import importlib.util, sys
if importlib.util.find_spec("tensorflow") is None:
    sys.exit(1)
import tensorflow
sys.exit(not tensorflow.__version__.startswith("1.15"))' >/dev/null 2>&1
}

is_python_3_7() {
  "$1" -I -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 7))' </dev/null >/dev/null 2>&1
}

# Uses an interpreter that came with TensorFlow; names the packages it lacks but installs none.
use_as_it_is() {
  local names name missing=()
  names=$("$1" -c '
import importlib.util, sys
for pair in sys.argv[1:]:
    module, package = pair.split("=")
    if importlib.util.find_spec(module.split(".")[0]) is None:
        print(package)' "${modules[@]}" 2>/dev/null || true)
  for name in $names; do
    missing+=("$(grep -h -i "^$name==" "${lock_files[@]}" || printf '%s' "$name")")
  done
  say "using $1, which has TensorFlow 1.15; nothing is installed."
  if ((${#missing[@]})); then
    say "it lacks ${#missing[@]} packages; where they are needed: $1 -m pip install --no-deps ${missing[*]}"
  fi
  finish "$1"
}

use_interpreter_on_path() {
  local name found
  for name in python3.7 python3 python; do
    found=$(command -v "$name") || continue
    if [[ $found != "$venv/"* ]] && has_tensorflow_1_15 "$found"; then
      use_as_it_is "$found"
    fi
  done
}

# Prints every place where a Python 3.7 may be, one a line, the wanted ones first.
candidates() {
  local name path folder
  [[ -z ${PYTHON:-} ]] || printf '%s\n' "$PYTHON"
  for name in python3.7 python3 python; do
    command -v "$name" || true
  done
  for folder in "${PYENV_ROOT:-}" "$(pyenv root 2>/dev/null || true)" "${HOME:-}/.pyenv"; do
    [[ -n $folder ]] || continue
    printf '%s\n' "$folder"/versions/3.7*/bin/python | sort -rV
  done
  for folder in "$(conda info --base 2>/dev/null || true)" "${CONDA_PREFIX:-}" \
    "${HOME:-}"/{miniconda3,anaconda3,miniforge3,mambaforge}; do
    [[ -n $folder ]] || continue
    printf '%s\n' "$folder/bin/python" "$folder"/envs/*/bin/python
  done
  if [[ -r ${HOME:-}/.conda/environments.txt ]]; then
    while read -r path; do printf '%s\n' "$path/bin/python"; done <"${HOME:-}/.conda/environments.txt"
  fi
}

find_python_3_7() {
  local path
  while read -r path; do
    if [[ -x $path || $path == "${PYTHON:-}" ]] && [[ $path != "$venv/"* ]] && is_python_3_7 "$path"; then
      printf '%s\n' "$path"
      return
    fi
  done < <(candidates)
  uv_python
}

# Installs a Python 3.7 with uv and prints its path; uv itself goes into .venv/.uv if it is missing.
uv_python() {
  local uv path
  say 'no Python 3.7 found on this machine; asking uv for one'
  for uv in "$(command -v uv || true)" "$venv/.uv/bin/uv"; do
    if [[ $uv == "$venv/.uv/bin/uv" && ! -x $uv ]]; then
      install_uv || return 1
    fi
    if [[ -z $uv ]] || ! "$uv" python install 3.7 >>"$log" 2>&1; then
      continue
    fi
    for path in "$("$uv" python dir)"/cpython-3.7*/bin/python3.7; do
      if is_python_3_7 "$path"; then
        printf '%s\n' "$path"
        return
      fi
    done
  done
  return 1
}

install_uv() {
  local python
  python=$(command -v python3 || command -v python) || return 1
  if "$python" -m venv "$venv/.uv" >>"$log" 2>&1; then
    "$venv/.uv/bin/python" -m pip install "$uv_pin" >>"$log" 2>&1
  else
    "$python" -m pip install --target "$venv/.uv" "$uv_pin" >>"$log" 2>&1
  fi
}

refuse_machines_without_wheels() {
  case $(uname -m) in
    aarch64 | arm64)
      fail "there is no TensorFlow 1.15 wheel for $(uname -m) but Huawei's, which comes with CANN. Install it" \
        "into a Python 3.7 as the CANN manual says, put that on PATH or name it: PYTHON=/path/to/python bash setup.sh"
      ;;
  esac
}

make_venv() {
  local python
  if [[ -d $venv ]] && is_python_3_7 "$venv/bin/python"; then
    return
  fi
  python=$(find_python_3_7) || fail 'no Python 3.7, which TensorFlow 1.15 needs, and none could be fetched.' \
    'Install one (pyenv install 3.7.16; conda create -n py37 python=3.7; apt-get install python3.7-venv where' \
    'the distribution has it) and run this again, or name it: PYTHON=/path/to/python3.7 bash setup.sh'
  say "making .venv with $python"
  find "$venv" -mindepth 1 -maxdepth 1 ! -name .lock ! -name .uv ! -name install.log -exec rm -rf {} +
  "$python" -I -m venv "$venv" >>"$log" 2>&1 || fail "$python could not make $venv; see $log"
}

# Forgets packages that an interrupted pip left half written, so that pip installs them anew.
drop_damaged_packages() {
  "$venv/bin/python" -I -c '
import csv, pathlib, shutil, sysconfig
folder = pathlib.Path(sysconfig.get_paths()["purelib"])
def is_whole(info):
    record = info / "RECORD"
    if not record.exists() or not record.stat().st_size:
        return False
    with record.open(newline="") as stream:
        for name, _, size in csv.reader(stream):
            path = folder / name
            if name.startswith(info.name) or not size:  # indexes rewrite METADATA
                continue
            if not (path.exists() and path.stat().st_size == int(size)):
                return False
    return True
for info in folder.glob("*.dist-info"):
    if not is_whole(info):
        print("taking up again:", info.name, flush=True)
        shutil.rmtree(str(info))' >>"$log" 2>&1
}

pip_install() {
  "$venv/bin/python" -I -m pip install --no-deps --no-input --disable-pip-version-check \
    --progress-bar off "$@" >>"$log" 2>&1 || {
    tail -n 8 "$log" >&2
    fail "pip could not install everything; the whole story is in $log. Run this again to go on from there" \
      "(no network: pip's own settings, such as PIP_INDEX_URL or a proxy, are honoured)."
  }
}

check_imports() {
  "$venv/bin/python" -I -W ignore -c '
import importlib, sys
bad = []
for pair in sys.argv[1:]:
    module = pair.split("=")[0]
    try:
        importlib.import_module(module)
    except Exception as error:
        bad.append("{}: {}".format(module, error))
sys.stdout.write("".join("cannot import " + line + "\n" for line in bad))
sys.exit(bool(bad))' "${modules[@]}" >&2 2>>"$log" ||
    fail "the environment does not work: see above and $log. Remove $venv and run this again."
}

install() {
  local started=$SECONDS arguments=() file
  log=$venv/install.log
  rm -f "$venv/.complete" "$venv/.complete-dev"
  refuse_machines_without_wheels
  make_venv
  for file in "${lock_files[@]}"; do arguments+=(-r "$file"); done
  say "installing ${lock_files[*]##*/} into .venv (about a minute; tail -f $log shows how far)"
  drop_damaged_packages
  "$venv/bin/python" -I -m pip --version >>"$log" 2>&1 ||
    "$venv/bin/python" -I -m ensurepip --upgrade >>"$log" 2>&1
  pip_install "${tools[@]}"
  pip_install "${arguments[@]}"
  check_imports
  digest "${lock_files[0]}" >"$venv/.complete"
  [[ -z $dev ]] || digest "${lock_files[@]}" >"$venv/.complete-dev"
  say "done in $((SECONDS - started)) s"
}

main() {
  parse_arguments "$@"
  if [[ -n ${PYTHON:-} && $PYTHON != "$venv/bin/python" ]]; then
    command -v "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON is no program; name a Python 3.7, or unset PYTHON."
    PYTHON=$(command -v "$PYTHON")
    if has_tensorflow_1_15 "$PYTHON"; then
      use_as_it_is "$PYTHON"
    fi
  fi
  if [[ -n ${VIRTUAL_ENV:-}${CONDA_PREFIX:-}${ASCEND_HOME_PATH:-}${ASCEND_OPP_PATH:-} ]]; then
    use_interpreter_on_path
  fi
  if complete; then
    finish "$venv/bin/python"
  fi
  use_interpreter_on_path
  mkdir -p "$venv" 2>/dev/null || fail "cannot write to $root: .venv must lie there."
  exec 9>"$venv/.lock"
  if command -v flock >/dev/null && ! flock -n 9; then
    say 'another run is installing; waiting for it'
    flock 9
  fi
  complete || install
  finish "$venv/bin/python"
}

main "$@"
