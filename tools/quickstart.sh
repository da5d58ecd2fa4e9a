#!/usr/bin/env bash
# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
#
# Set up, train and test the quickstart model, draw its curves.
#
#   OUT=outputs/quickstart CONFIG=configs/pss/X.py tools/quickstart.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=${VENV:-.venv}
config=${CONFIG:-configs/pss/pss_vit-tiny_1xb16-magnitude-cyclic-80-0-30e_digits.py}
out=${OUT:-outputs/quickstart}

say() { echo "quickstart: $*"; }

tools/setup_env.sh
# The tools run with the `python` of the environment.
PATH=$(cd "$venv/bin" && pwd):$PATH
export PATH
# Memory that a step frees is kept for the next one, which saves page faults on
# a CPU. What is set already stays; docs/troubleshooting.md has the cost.
export MALLOC_MMAP_MAX_=${MALLOC_MMAP_MAX_-0}
export MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_--1}
export MALLOC_TOP_PAD_=${MALLOC_TOP_PAD_-268435456}

if [ -e "$out" ]; then
    number=2
    while [ -e "$out-$number" ]; do number=$((number + 1)); done
    say "$out is there from an earlier run and stays; this one goes to" \
        "$out-$number"
    out=$out-$number
fi
mkdir -p "$out"

say "training $config (some minutes on a CPU)"
begin=$SECONDS
python tools/train.py "$config" --work-dir "$out" --quiet
wall=$((SECONDS - begin))

checkpoint=$(cat "$out/last_checkpoint")
say "testing $checkpoint"
python tools/test.py "$config" "$checkpoint" --quiet \
    --work-dir "$out" --out "$out/test_metrics.json" --out-item metrics

say "drawing"
pictures=$out/pictures
mkdir -p "$pictures"
draw() { # what a tool prints goes to a file, unless it fails
    python "tools/analysis/$1.py" "${@:2}" --out "$pictures" \
        >"$pictures/$1.log" 2>&1 || { cat "$pictures/$1.log" >&2; exit 1; }
}
draw plot_schedules "$config"
draw plot_training "$out"
draw image_patches "$config" "$checkpoint"
# The tables of the training: accuracy, time of a step at each drop ratio.
grep -vE '^ *$|^wrote |^(logs|pictures): ' "$pictures/plot_training.log"

python - "$out" "$checkpoint" "$pictures" "$wall" <<'PYTHON'
import glob
import json
import os
import sys

out, checkpoint, pictures, wall = sys.argv[1:]
seconds = 0.0
for name in ('train_log.json', 'val_log.json'):
    with open(os.path.join(out, name)) as file:
        seconds += sum(json.loads(line)['time'] for line in file)
with open(os.path.join(out, 'test_metrics.json')) as file:
    top1 = json.load(file)['accuracy/top1']
logs = sorted(glob.glob(os.path.join(out, '*', '*.log')), key=os.path.getmtime)
drawn = sorted(glob.glob(os.path.join(pictures, '**', '*.png'), recursive=True))
print(f'quickstart: log         {logs[0]}')
print(f'quickstart:             {out}/train_log.json, {out}/val_log.json')
print(f'quickstart: checkpoint  {checkpoint}')
print(f'quickstart: pictures    {pictures}/: {len(drawn)} pictures, such as')
print(f'quickstart:             {pictures}/image_patches.png')
print(
    f'quickstart: seconds are iterations and validations; the whole command '
    f'with its start took {wall} s'
)
print(
    f'quickstart: top-1 {top1:.2f} %, {seconds:.0f} s of training, outputs in '
    f'{out}'
)
PYTHON
