#!/usr/bin/env bash
# Finds or makes the Python environment of this project and prints the interpreter to use.
#
#   bash setup.sh [--dev]                        makes .venv beside this file (about a minute)
#   python=$(bash setup.sh --print-python)       the same; stdout holds nothing but the interpreter
#   bash setup.sh --tensorflow=2                 TensorFlow 2, beside a .venv of TensorFlow 1.15
#
#   --dev              adds what tests/run.sh needs (requirements-dev.txt, requirements-tf2-dev.txt)
#   --tensorflow=1|2   TensorFlow 1.15 (requirements.txt) or 2 (requirements-tf2.txt); also TENSORFLOW=1|2
#   --gpu              TensorFlow 2 with NVIDIA's libraries (requirements-tf2-gpu.txt)
#   --print-python     prints the path of the interpreter alone on stdout
#   --help             this text
#
# Which interpreter, first that fits:
#   1. $PYTHON, or with an activated environment or CANN the one on PATH, if it imports TensorFlow 1.15,
#      else 2: used as it is, nothing is installed (an Ascend host, a ModelArts container)
#   2. .venv, if it was completed from the present requirements files
#   3. the one on PATH, if it imports TensorFlow 1.15
#   4. .venv, made or completed with a Python 3.7 and TensorFlow 1.15: $PYTHON, PATH, pyenv, conda
#   5. .venv with TensorFlow 2 and the newest Python from 3.10 to 3.13 at the same places
#   6. .venv with TensorFlow 1.15 and a Python 3.7 from uv (aarch64: TensorFlow 2, Python 3.12)
# The first environment lies in .venv, one for the other TensorFlow in .venv-tf1 or .venv-tf2.
# pip's own settings in the environment and in its configuration files hold. A broken-off installation
# is taken up again by the next run; of two runs at once the second waits.
case ${BASH_VERSION:+$SHELLOPTS} in '' | *posix*) unset POSIXLY_CORRECT && exec bash "$0" "$@" ;; esac # by `sh`
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$root/.venv
tools=(pip==24.0 setuptools==68.0.0 wheel==0.42.0)
tools_2=(pip==25.3)  # the lock of TensorFlow 2 holds the others
uv_pin=uv==0.6.0  # later ones no longer offer Python 3.7

# module=package, in the order in which they are imported for the final check
modules=(
  tensorflow=tensorflow cv2=opencv-python-headless h5py=h5py scipy=scipy sklearn=scikit-learn
  skimage=scikit-image trimesh=trimesh networkx=networkx rtree=Rtree matplotlib=matplotlib
  PIL=Pillow yaml=PyYAML tqdm=tqdm
)
modules_1=(
  sonnet=dm-sonnet tensorflow_probability=tensorflow-probability
  tensor2tensor.layers.common_attention=tensor2tensor mcubes=PyMCubes
)
dev_modules=(pytest=pytest ruff=ruff)

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

usage() { sed -n '2,/^[^#]/{/^[^#]/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

parse_arguments() {
  dev='' gpu='' print_python='' forced=${TENSORFLOW:-} forced_by=TENSORFLOW
  while (($#)); do
    case $1 in
      --dev) dev=1 ;;
      --gpu) gpu=1 ;;
      --print-python) print_python=1 ;;
      --tensorflow=*) forced=${1#*=} forced_by=--tensorflow ;;
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
  if [[ $forced != @(|1|2) ]]; then
    printf 'error: %s is 1 or 2, not "%s".\n' "$forced_by" "$forced" >&2
    exit 2
  fi
  if [[ -n $gpu && $forced == 1 ]]; then
    printf 'error: --gpu is for TensorFlow 2; for 1.15 see docs/environment.md.\n' >&2
    exit 2
  elif [[ -n $gpu && -z $forced ]]; then
    forced=2 forced_by=--gpu
  fi
}

# Sets `runtime` (1 or 2), `why`, `venv` and what is installed there; `base` where a search found it.
settle() {
  local made=''
  base=''
  if [[ -x $venv/bin/python ]]; then
    made=1
    [[ ! -f $venv/.runtime ]] || read -r made _ <"$venv/.runtime"
  fi
  if [[ -n $forced ]]; then
    runtime=$forced why="as $forced_by says"
  elif [[ -n ${PYTHON:-} ]] && fits 2 "$PYTHON"; then
    runtime=2 why="since PYTHON names a Python for it"
  elif [[ -n $made ]]; then
    runtime=$made why='since .venv has it'
  elif [[ -z $has_no_wheels ]] && base=$(find_python 1); then
    runtime=1 why='the reference, since there is a Python 3.7'
  elif base=$(find_python 2); then
    runtime=2 why='since there is no '
    if [[ -n $has_no_wheels ]]; then why+="wheel of 1.15 for $machine"; else why+='Python 3.7'; fi
  elif [[ -n $has_no_wheels ]]; then
    runtime=2 why="since there is no wheel of 1.15 for $machine"
  else
    runtime=1 why='the reference'
  fi
  if [[ -n $made && $made != "$runtime" ]]; then
    venv+=-tf$runtime
  fi
  if ((runtime == 1)); then
    lock_files=("$root/requirements.txt") modules+=("${modules_1[@]}") dev_modules+=(mypy=mypy)
    [[ -z $dev ]] || lock_files+=("$root/requirements-dev.txt")
  else
    tools=("${tools_2[@]}")
    lock_files=("$root/requirements-tf2.txt")
    [[ -z $dev ]] || lock_files+=("$root/requirements-tf2-dev.txt")
  fi
  [[ -z $dev ]] || modules+=("${dev_modules[@]}")
}

# Digest of what the environment is made from: the tools and the given files.
digest() { { printf '%s\n' "${tools[@]}" && cat "$@"; } | cksum; }

# Is the environment complete? Reads small files and starts no Python.
complete() {
  local stamp=$venv/.complete${dev:+-dev}
  [[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$(digest "${lock_files[@]}")" &&
    (-z $gpu || -f $venv/.gpu) ]]
}

finish() {
  if [[ -n $print_python ]]; then
    printf '%s\n' "$1"
  else
    printf 'Python: %s\n' "$1"
  fi
  exit 0
}

# Can the interpreter $2 import TensorFlow $1 (1: 1.15; 2: 2.16 or later)?
has_tensorflow() {
  "$2" -c '
import importlib.util, sys
if importlib.util.find_spec("tensorflow") is None:
    sys.exit(1)
import tensorflow
version = tuple(int(part) for part in tensorflow.__version__.split(".")[:2])
sys.exit(not (version == (1, 15) if sys.argv[1] == "1" else version >= (2, 16)))' "$1" >/dev/null 2>&1
}

# Is $2 a Python with which an environment for TensorFlow $1 can be made?
fits() {
  local versions='[(3, 7)]'
  [[ $1 == 1 ]] || versions='[(3, 10), (3, 11), (3, 12), (3, 13)]'
  "$2" -I -c "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in $versions)" \
    </dev/null >/dev/null 2>&1
}

# Uses an interpreter that came with TensorFlow; names the packages it lacks but installs none.
use_as_it_is() {
  local names name missing=() files=("$root"/requirements{,-dev}.txt) name_of=1.15
  if (($1 == 1)); then
    modules+=("${modules_1[@]}")
  else
    files=("$root"/requirements-tf2{,-dev}.txt) name_of=2
  fi
  [[ -z $dev ]] || modules+=("${dev_modules[@]}")
  shift
  names=$("$1" -c '
import importlib.util, sys
for pair in sys.argv[1:]:
    module, package = pair.split("=")
    if importlib.util.find_spec(module.split(".")[0]) is None:
        print(package)' "${modules[@]}" 2>/dev/null || true)
  for name in $names; do
    missing+=("$(grep -h -o -i "^$name==[^;]*" "${files[@]}" || printf '%s' "$name")")
  done
  say "using $1, which has TensorFlow $name_of; nothing is installed."
  if ((${#missing[@]})); then
    say "it lacks ${#missing[@]} packages; where they are needed: $1 -m pip install --no-deps ${missing[*]}"
  fi
  finish "$1"
}

# The interpreter on PATH with TensorFlow $1.
use_interpreter_on_path() {
  local name found
  [[ -z $forced || $forced == "$1" ]] || return 0
  for name in python3.7 python3 python; do
    found=$(command -v "$name") || continue
    if [[ $found != "$root"/.venv* ]] && has_tensorflow "$1" "$found"; then
      use_as_it_is "$1" "$found"
    fi
  done
}

# Prints every place where a Python for TensorFlow $1 may be, one a line, the wanted ones first.
candidates() {
  local name path folder names=(python3.7) versions=3.7
  if (($1 == 2)); then
    names=(python3.13 python3.12 python3.11 python3.10) versions=3.1
  fi
  [[ -z ${PYTHON:-} ]] || printf '%s\n' "$PYTHON"
  for name in "${names[@]}" python3 python; do
    command -v "$name" || true
  done
  for folder in "${PYENV_ROOT:-}" "$(pyenv root 2>/dev/null || true)" "${HOME:-}/.pyenv"; do
    [[ -n $folder ]] || continue
    printf '%s\n' "$folder"/versions/"$versions"*/bin/python | sort -rV
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

# Prints a Python for TensorFlow $1: the first that fits, for 2 the newest unless PYTHON names one.
find_python() {
  local path minor best='' best_minor=0
  while read -r path; do
    if [[ (-x $path || $path == "${PYTHON:-}") && $path != "$root"/.venv* ]] && fits "$1" "$path"; then
      if (($1 == 1)) || [[ $path == "${PYTHON:-}" ]]; then
        printf '%s\n' "$path"
        return
      fi
      minor=$("$path" -I -c 'import sys; print(sys.version_info[1])')
      if ((minor > best_minor)); then best=$path best_minor=$minor; fi
      ((minor < 13)) || break
    fi
  done < <(candidates "$1")
  [[ -n $best ]] && printf '%s\n' "$best"
}

# Installs a Python with uv and prints its path; uv itself goes into .venv/.uv if it is missing.
uv_python() {
  local uv path version=3.7
  (($1 == 1)) || version=3.12
  say "no Python for TensorFlow $1 found on this machine; asking uv for one"
  for uv in "$(command -v uv || true)" "$venv/.uv/bin/uv"; do
    if [[ $uv == "$venv/.uv/bin/uv" && ! -x $uv ]]; then
      install_uv || return 1
    fi
    if [[ -z $uv ]] || ! "$uv" python install "$version" >>"$log" 2>&1; then
      continue
    fi
    for path in "$("$uv" python dir)/cpython-$version"*/bin/"python$version"; do
      if fits "$1" "$path"; then
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
  [[ $runtime == 2 || -z $has_no_wheels ]] || fail "there is no TensorFlow 1.15 wheel for $machine but Huawei's," \
    "which comes with CANN. Install it into a Python 3.7 as the CANN manual says, put that on PATH or name it:" \
    "PYTHON=/path/to/python bash setup.sh (or take TensorFlow 2: --tensorflow=2)"
}

make_venv() {
  if [[ -x $venv/bin/python ]] && fits "$runtime" "$venv/bin/python"; then
    return
  fi
  [[ -n $base ]] || base=$(find_python "$runtime") || base=$(uv_python "$runtime") ||
    if ((runtime == 1)); then
      fail 'no Python 3.7, which TensorFlow 1.15 needs, nor one from 3.10 to 3.13 for TensorFlow 2, and none could' \
        'be fetched. Install one (pyenv install 3.7.16; conda create -n py37 python=3.7; apt-get install python3-venv' \
        'where the distribution has one) and run this again, or name it: PYTHON=/path/to/python3.7 bash setup.sh'
    else
      fail 'no Python from 3.10 to 3.13, which TensorFlow 2 needs, and none could be fetched. Install one' \
        '(apt-get install python3-venv; pyenv install 3.12) and run this again, or name it: PYTHON=/path/to/python3.12' \
        'bash setup.sh'
    fi
  say "making ${venv##*/} with $base"
  find "$venv" -mindepth 1 -maxdepth 1 ! -name '.lock*' ! -name .uv ! -name .runtime ! -name install.log \
    -exec rm -rf {} +
  "$base" -I -m venv "$venv" >>"$log" 2>&1 || fail "$base could not make $venv; see $log"
}

# Writes the lock of TensorFlow 2 for NVIDIA cards: the same without TensorFlow for CPUs, and the pins of
# requirements-tf2-gpu.txt.
lock_for_gpu() {
  "$venv/bin/python" -I -m pip uninstall --yes tensorflow-cpu >>"$log" 2>&1 || true
  grep -v '^tensorflow' "$root/requirements-tf2.txt" >"$venv/.gpu"
  cat "$root/requirements-tf2-gpu.txt" >>"$venv/.gpu"
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
  printf '%s\n' "$runtime" >"$venv/.runtime"
  make_venv
  say "TensorFlow $(name_of_runtime), $why"
  "$venv/bin/python" -I -m pip --version >>"$log" 2>&1 ||
    "$venv/bin/python" -I -m ensurepip --upgrade >>"$log" 2>&1
  for file in "${lock_files[@]}"; do arguments+=(-r "$file"); done
  if [[ -n $gpu || -f $venv/.gpu ]]; then
    lock_for_gpu
    arguments[1]=$venv/.gpu
  fi
  say "installing ${lock_files[*]##*/} into ${venv##*/} (about a minute; tail -f $log shows how far)"
  drop_damaged_packages
  pip_install "${tools[@]}"
  pip_install "${arguments[@]}"
  check_imports
  digest "${lock_files[0]}" >"$venv/.complete"
  [[ -z $dev ]] || digest "${lock_files[@]}" >"$venv/.complete-dev"
  say "done in $((SECONDS - started)) s"
}

name_of_runtime() { if ((runtime == 1)); then printf 1.15; else printf 2; fi; }

# Uses $PYTHON, or what is activated, if it has a TensorFlow.
use_what_is_named() {
  local wanted
  if [[ -n ${PYTHON:-} && $PYTHON != "$root"/.venv*/bin/python ]]; then
    command -v "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON is no program; name a Python, or unset PYTHON."
    PYTHON=$(command -v "$PYTHON")
    for wanted in ${forced:-1 2}; do
      if has_tensorflow "$wanted" "$PYTHON"; then
        use_as_it_is "$wanted" "$PYTHON"
      fi
    done
  fi
  if [[ -n ${VIRTUAL_ENV:-}${CONDA_PREFIX:-}${ASCEND_HOME_PATH:-}${ASCEND_OPP_PATH:-} ]]; then
    use_interpreter_on_path 1
    use_interpreter_on_path 2
  fi
}

# Makes the folder of the environment and waits until no other run works in it.
lock() {
  mkdir -p "$venv" 2>/dev/null || fail "cannot write to $root: ${venv##*/} must lie there."
  if ! command -v flock >/dev/null; then
    lock_by_name
    return
  fi
  exec 9>"$venv/.lock"
  if ! flock -n 9; then
    say 'another run is installing; waiting for it'
    flock 9
  fi
}

# The same where there is no flock: a file holds the number of the process that works here.
lock_by_name() {
  local holder='' told=''
  [[ -z ${held:-} ]] || rm -f "$held"
  held=$venv/.lock.process
  trap 'rm -f "$held"' EXIT
  until (set -o noclobber && echo $$ >"$held") 2>/dev/null; do
    holder=$(cat "$held" 2>/dev/null) || continue
    if [[ -n $holder ]] && ! kill -0 "$holder" 2>/dev/null; then
      rm -f "$held" # of a run that was killed
      continue
    fi
    [[ -n $told ]] || say 'another run is installing; waiting for it'
    told=1
    sleep 0.2
  done
}

main() {
  parse_arguments "$@"
  machine=$(uname -m) has_no_wheels=''
  [[ $machine != @(aarch64|arm64) ]] || has_no_wheels=1
  [[ -n $gpu ]] || use_what_is_named
  [[ -x $venv/bin/python ]] || use_interpreter_on_path 1
  settle
  if complete; then
    [[ -n $print_python ]] || say "TensorFlow $(name_of_runtime), $why"
    finish "$venv/bin/python"
  fi
  use_interpreter_on_path 1
  lock
  if [[ $venv == "$root/.venv" && -f $venv/.runtime && $(<"$venv/.runtime") != "$runtime" ]]; then
    venv+=-tf$runtime # another run, which began earlier, made .venv for the other TensorFlow
    lock
  fi
  complete || install
  finish "$venv/bin/python"
}

main "$@"
