#!/usr/bin/env bash
# Makes .venv from a bare clone: finds a Python, builds llama.cpp once, installs the pinned set.
# A second run finds its stamp and does nothing.
#   HARUON_PYTHON=/path/to/python   use this interpreter
#   HARUON_CUDA=0|1                 build llama.cpp without or with CUDA, whatever is found
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }

usable() { # Python 3.11 to 3.14 that can make a virtual environment
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
        >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in "${HARUON_PYTHON:-}" python3 "${CONDA_PREFIX:-/nonexistent}/bin/python" \
        python3.12 python3.11 python3.13 python3.14 \
        "$HOME"/.pyenv/versions/*/bin/python3 "$HOME"/{miniconda3,anaconda3,miniforge3}/bin/python \
        "$HOME"/{miniconda3,anaconda3,miniforge3}/envs/*/bin/python \
        "$(command -v uv >/dev/null 2>&1 && uv python find '>=3.11,<3.15' 2>/dev/null || true)"; do
        [ -n "$candidate" ] && usable "$candidate" && { command -v "$candidate"; return; }
    done
    fail "no Python 3.11 to 3.14 with venv was found (python3 is $(python3 --version 2>&1 || echo missing))." \
        "get one with any of:" \
        "    sudo apt-get install python3.11 python3.11-venv" \
        "    conda create -n haruon python=3.12 && conda activate haruon" \
        "    uv python install 3.12" \
        "or name one: make setup HARUON_PYTHON=/path/to/python3.12"
}

want_cuda() {
    case "${HARUON_CUDA:-}" in
        0) return 1 ;;
        1) return 0 ;;
        *) command -v nvcc >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q '^GPU' ;;
    esac
}

python=$(find_python)
llama_version=$(sed -n 's/^llama-cpp-python==//p' constraints.txt)
# Portable AVX2: a native build on CPUs with AMX inside a VM crashes on quantized models.
cmake_args="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF -DCMAKE_PROJECT_INCLUDE_BEFORE=$PWD/scripts/no-llama-common.cmake"
backend=cpu
if [ "$(uname)" = Darwin ]; then
    backend=metal
elif want_cuda; then
    backend=cuda
    cmake_args="$cmake_args -DGGML_CUDA=ON -DCMAKE_CUDA_ARCHITECTURES=native"
fi

# A torch that already drives this box's GPU stays: pip would bring gigabytes of another build.
site=()
constraints=constraints.txt
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1; then
    site=(--system-site-packages)
fi

stamp="$("$python" --version) $backend ${site[*]:-} $(cat constraints.txt pyproject.toml "$0" | cksum)"
if [ "$(cat .venv/.haruon-setup 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi

say "$("$python" --version) at $python, llama.cpp for $backend"
if [ ! -x .venv/bin/python ]; then
    "$python" -m venv ${site[@]+"${site[@]}"} .venv
fi
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
if [ ${#site[@]} -gt 0 ]; then
    say "keeping the torch that is installed: $("$python" -c 'import torch; print(torch.__version__)')"
    constraints=.venv/constraints.txt
    grep -v '^torch==' constraints.txt >"$constraints"
fi
pip install --upgrade pip

wheels="${XDG_CACHE_HOME:-$HOME/.cache}/haruon/wheels/llama-cpp-python-$llama_version-$backend-$(
    .venv/bin/python -c 'import sysconfig; print(sysconfig.get_platform(), sysconfig.get_python_version(), sep="-")')"
if ! ls "$wheels"/*.whl >/dev/null 2>&1; then
    say "building llama.cpp $llama_version, once: 3 to 4 minutes on 2 cores, more with CUDA"
    making="$wheels.$$"
    CMAKE_ARGS="$cmake_args ${CMAKE_ARGS:-}" \
        pip wheel --no-deps --no-cache-dir -w "$making" "llama-cpp-python==$llama_version" ||
        fail "llama.cpp did not build. It needs a C and C++ compiler (sudo apt-get install build-essential)."
    mkdir -p "$(dirname "$wheels")"
    rm -rf "$wheels"
    mv "$making" "$wheels"
fi

say "installing the pinned packages"
pip install -c "$constraints" torch
pip install -c "$constraints" "$wheels"/*.whl
pip install -c "$constraints" -e '.[qlora,dev]'
printf '%s\n' "$stamp" >.venv/.haruon-setup
say "done: make demo, make run, make test"
