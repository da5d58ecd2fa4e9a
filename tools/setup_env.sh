#!/usr/bin/env bash
# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
#
# Build the virtual environment from requirements/pinned.txt and install the
# checkout into it. Does nothing when that is done already, and continues where
# it was interrupted.
#
#   PYTHON=python3.11 VENV=.venv tools/setup_env.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
venv=${VENV:-.venv}
requirements=requirements/pinned.txt
needed_gb=${SETUP_DISK_GB:-9}
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
export PYTHONNOUSERSITE=1
unset PYTHONPATH PYTHONHOME

say() { echo "setup: $*"; }
fail() {
    echo "setup: $*" >&2
    exit 1
}

# Two targets of one `make -j` must not build at once. The lock is on a file
# that is there anyway, and ends with the process, however that ends.
if command -v flock >/dev/null; then
    exec 9<"$requirements"
    flock -n 9 || {
        say "waiting for another set-up of this checkout to end"
        flock 9
    }
fi

# ------------------------------------------------------------ is it done?
# The path is part of it: a virtual environment does not survive a move.
state() {
    echo "$root"
    cat "$requirements" setup.py tools/setup_env.sh requirements/runtime.txt \
        mask_plugins/version.py mask_plugins/native/src/* | cksum
}
stamp=$venv/setup-done
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(state)" ] &&
    [ -e mask_plugins/.mim/configs ] && "$venv/bin/python" -c '' 2>/dev/null
then
    say "$venv is ready"
    exit 0
fi

# ---------------------------------------------------------- can it be done?
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    # A pyenv shim may exist and still not run.
    if python3.11 -c '' 2>/dev/null; then PYTHON=python3.11; fi
fi
version=$("$PYTHON" -c 'import platform; print(platform.python_version())' \
    2>/dev/null) || fail "cannot run '$PYTHON'; name a Python with" \
    "\`make setup PYTHON=python3.11\`"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$PYTHON is Python $version. The package runs on 3.9 to 3.13, but the" \
        "pinned set of $requirements needs 3.11 or newer:" \
        "\`make setup PYTHON=python3.11\`"
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$PYTHON has no venv module: \`apt-get install python3-venv\`" \
        "(Debian, Ubuntu), or name another Python with PYTHON=..."

check_space() { # folder, what for
    local free
    free=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }')
    if [ "$free" -lt "$needed_gb" ]; then
        fail "$1 has $free GB free, but $needed_gb GB are needed for $2" \
            "(less is fine if you know better: SETUP_DISK_GB=$free)"
    fi
}

pip_install() {
    "$venv/bin/python" -m pip install --progress-bar off "$@" \
        >>"$venv/setup.log" 2>&1 && return
    tail -n 8 "$venv/setup.log" >&2
    fail "pip stopped (whole log: $venv/setup.log). If that is about a" \
        "connection or disk space, fix it and run the same command again:" \
        "it continues where it stopped"
}

# -------------------------------------------------------------- 1 of 4
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    check_space . "torch and the rest"
    say "1/4 virtual environment $venv with $PYTHON ($version)"
    if [ -e "$venv" ]; then
        # Half made, or moved. Nothing of a user's is in a virtual
        # environment, but VENV might name some other folder by mistake.
        [ "$venv" = .venv ] || [ -f "$venv/pyvenv.cfg" ] ||
            [ -z "$(ls -A "$venv")" ] ||
            fail "VENV=$venv exists and is not a virtual environment"
        rm -rf "$venv"
    fi
    "$PYTHON" -m venv "$venv"
else
    say "1/4 virtual environment $venv is there"
fi
rm -f "$stamp"
: >"$venv/setup.log"

# A pip that was killed may leave a package that counts as installed and has
# files missing. Such a package is forgotten, so that pip installs it again.
"$venv/bin/python" - <<'PYTHON'
import os
import shutil
from importlib import metadata

for dist in metadata.distributions():
    path = str(getattr(dist, '_path', ''))
    if not path.endswith('.dist-info'):
        continue
    whole = os.path.isfile(os.path.join(path, 'RECORD')) and dist.name
    for file in (dist.files or []) if whole else []:
        found = file.locate()
        # Scripts may be rewritten, and caches may be missing.
        if file.suffix == '.pyc':
            continue
        if not os.path.isfile(found) or (
            file.suffix in ('.py', '.so')
            and file.size is not None
            and os.path.getsize(found) != file.size
        ):
            whole = False
            break
    if not whole:
        print(f'setup: {os.path.basename(path)} is incomplete, again')
        shutil.rmtree(path)
PYTHON
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    "$venv/bin/python" -m ensurepip >/dev/null
fi

# -------------------------------------------------------------- 2 of 4
# Both in one command: pip must see the pair, or it takes a torchvision that
# brings another torch along.
pair=$(grep -E '^(torch|torchvision)==' "$requirements")
say "2/4" $pair "(some minutes: 3 GB to fetch where it is not cached)"
# shellcheck disable=SC2086
pip_install $pair

# -------------------------------------------------------------- 3 of 4
say "3/4 the other packages of $requirements"
pip_install -r "$requirements"
if ! error=$("$venv/bin/python" -c 'import cv2' 2>&1); then
    say "OpenCV does not load here (${error##*$'\n'});" \
        "taking opencv-python-headless in its place"
    opencv=$(sed -n 's/^opencv-python==//p' "$requirements")
    "$venv/bin/python" -m pip uninstall -y opencv-python \
        >>"$venv/setup.log" 2>&1
    pip_install --no-deps --force-reinstall "opencv-python-headless==$opencv"
fi

# -------------------------------------------------------------- 4 of 4
say "4/4 mask_plugins itself, editable"
pip_install --no-build-isolation --no-deps -e .
error=$("$venv/bin/python" -c '
import cv2, mim, mmpretrain.models, torchvision.ops
import mask_plugins' 2>&1) || {
    echo "$error" >&2
    fail "installed, but it cannot be imported; \`make doctor\` says more"
}

# Written at the very end, and renamed into place: it is there only if all is.
state >"$stamp.tmp"
mv "$stamp.tmp" "$stamp"
say "done; activate it with \`source $venv/bin/activate\`"
