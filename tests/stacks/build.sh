#!/usr/bin/env bash
# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
#
# Build the environment of a stack that people have, or take it from the cache,
# and install the checkout into it, editable.
#
#   tests/stacks/build.sh openmmlab   # Python 3.10, torch 2.1.2, full mmcv
#   tests/stacks/build.sh onedl       # the OneDL forks on the pinned torch
#   tests/stacks/build.sh py39        # Python 3.9, torch 2.5.1, mmcv-lite
#   tests/stacks/build.sh --where     # the cache folder
#   tests/stacks/build.sh --ready onedl   # exit code 0 if it is in the cache
#
# Variables: MASK_PLUGINS_STACKS, the cache folder; STACK_PYTHON, the Python of
# a new environment; MAX_JOBS, compilers side by side.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${MASK_PLUGINS_STACKS:-${XDG_CACHE_HOME:-$HOME/.cache}/mask_plugins/stacks}
ready=
if [ "${1:-}" = --ready ]; then
    ready=yes
    shift
fi
stack=${1:-}
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
export PYTHONNOUSERSITE=1
unset PYTHONPATH PYTHONHOME

say() { echo "$stack: $*"; }
fail() {
    echo "$stack: $*" >&2
    exit 1
}

case $stack in
--where) echo "$cache" && exit ;;
openmmlab) series=3.10 ;;
onedl) series=3.11 ;;
py39) series=3.9 ;;
*)
    echo "usage: tests/stacks/build.sh [--ready] openmmlab|onedl|py39|--where" >&2
    exit 2
    ;;
esac
venv=$cache/$stack
python=$venv/bin/python
log=$venv/build.log

find_python() {
    local found
    for found in ${STACK_PYTHON:-} "python$series" \
        "$HOME/.pyenv/versions/$series".*/bin/python; do
        # A pyenv shim may exist and still not run.
        if "$found" -c '' 2>/dev/null; then
            echo "$found"
            return
        fi
    done
    fail "Python $series is needed; name one with STACK_PYTHON=..."
}

pip_install() {
    "$python" -m pip install --progress-bar off "$@" >>"$log" 2>&1 && return
    tail -n 8 "$log" >&2
    fail "pip stopped (whole log: $log); the same command continues there"
}

# What the tests need in addition to the package, next to this numpy.
test_tools() {
    pip_install "$@" einops hypothesis matplotlib pandas pytest pytest-xdist \
        pytorch-metric-learning safetensors scikit-learn tensorboard
}

# The versions that mmdet 3.3 and mmseg 1.2 take: they refuse mmcv 2.2.
build_openmmlab() {
    local numpy='numpy==1.26.4' opencv='opencv-python-headless<4.12'
    local setuptools='setuptools<81' wheels=$cache/wheels/py310-torch2.1.2
    pip_install "$setuptools" wheel ninja psutil
    say "torch 2.1.2"
    pip_install torch==2.1.2 torchvision==0.16.2 "$numpy"
    pip_install "$numpy" "$opencv" mmengine==0.10.7
    if ! ls "$wheels"/mmcv-2.1.0-*.whl >/dev/null 2>&1; then
        say "mmcv 2.1.0 from source (20 minutes of one core)"
        mkdir -p "$wheels"
        "$python" -m pip download --no-deps --no-binary :all: \
            --no-build-isolation mmcv==2.1.0 -d "$wheels" >>"$log" 2>&1 ||
            fail "the source of mmcv cannot be fetched (log: $log)"
        MMCV_WITH_OPS=1 FORCE_CUDA=0 MAX_JOBS=${MAX_JOBS:-$(nproc)} \
            "$python" -m pip wheel --no-deps --no-build-isolation \
            "$wheels/mmcv-2.1.0.tar.gz" -w "$wheels" >>"$log" 2>&1 ||
            fail "mmcv does not build (log: $log)"
    fi
    pip_install --no-deps "$wheels"/mmcv-2.1.0-*.whl
    say "mmdet 3.3.0, mmsegmentation 1.2.2, mmpretrain 1.2.0"
    pip_install mmdet==3.3.0 mmsegmentation==1.2.2 mmpretrain==1.2.0 \
        openmim==0.3.7 'click<8.3' ftfy regex "$numpy" "$opencv" "$setuptools"
    test_tools "$numpy" 'timm<1'
    "$python" -c 'import mmcv.ops, mmdet, mmseg, mmpretrain.models' ||
        fail "installed, but it cannot be imported"
}

build_onedl() {
    local numpy
    local pinned=$root/requirements/pinned.txt
    numpy=$(grep '^numpy==' "$pinned")
    pip_install 'setuptools<81' wheel
    say "torch"
    # shellcheck disable=SC2046
    pip_install $(grep -E '^(torch|torchvision)==' "$pinned") "$numpy"
    say "the forks"
    export MMCV_WITH_OPS=0
    # shellcheck disable=SC2046
    pip_install $(grep '^onedl' "$root/requirements/onedl.txt") "$numpy"
    test_tools "$numpy"
    "$python" -c 'import mmcv, mmpretrain.models' ||
        fail "installed, but it cannot be imported"
}

build_py39() {
    local numpy='numpy==1.26.4' opencv='opencv-python-headless<4.12'
    local setuptools='setuptools>=64,<81'
    # Those of a new Python 3.9 cannot install a checkout, editable.
    pip_install 'pip>=23.1' "$setuptools" wheel
    say "torch 2.5.1"
    pip_install torch==2.5.1 torchvision==0.20.1 "$numpy"
    pip_install mmengine==0.10.7 mmcv-lite==2.1.0 mmpretrain==1.2.0 \
        openmim==0.3.7 'click<8.3' ftfy regex "$numpy" "$opencv" "$setuptools"
    test_tools "$numpy" 'timm<1'
    "$python" -c 'import mmcv, mmpretrain.models' ||
        fail "installed, but it cannot be imported"
}

# ---------------------------------------------------------------- build
# What decides on the environment; the checkout does not.
state=$({
    echo "$venv"
    declare -f pip_install test_tools "build_$stack"
    [ "$stack" != onedl ] || cat "$root"/requirements/{onedl,pinned}.txt
} | cksum)
is_built() { [ "$(cat "$venv/built" 2>/dev/null)" = "$state" ]; }
if [ -n "$ready" ]; then
    is_built
    exit
fi

mkdir -p "$venv"
if command -v flock >/dev/null; then
    exec 9>"$cache/$stack.lock"
    flock 9
fi
if is_built; then
    say "$venv from the cache"
else
    base=$(find_python)
    say "building $venv with $base"
    "$python" -m pip --version >/dev/null 2>&1 || "$base" -m venv "$venv"
    rm -f "$venv/built"
    : >"$log"
    "build_$stack"
    echo "$state" >"$venv/built"
    say "built in $SECONDS s"
fi
pip_install --no-build-isolation --no-deps -e "$root"
