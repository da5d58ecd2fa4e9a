# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""tools/cascade.py: from a YAML to a table and a classifier."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mask_plugins.apis.data import build_test_set
from mask_plugins.registry import MODELS
from mask_plugins.utils.files import read_json

from ..common.tools import ROOT, call_tool

TEXT = """
dispatcher: smn-swav_resnet18-narrow_1xb64-30e_digits.py
clusters: 2
components: 4
k: 5
methods: [baseline, conditional, pca_unconditional]
overrides:
  train_cfg.max_epochs: 1
  train_dataloader.batch_size: 32
  model.backbone.module.init_cfg: null
  model.backbone.module.base_channels: 4
  model.neck.in_channels: 32
  model.head.queue_length: 32
  train_dataloader.dataset.dataset.indices: 320
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'small.yaml'
    path.write_text(TEXT)
    return path


def test_dry_run_writes_nothing(file, tmp_path, capsys):
    out = tmp_path / 'out'
    call_tool('cascade', 'run', file, '--out', out, '--dry-run', '-j', '2')
    *lines, experts = capsys.readouterr().out.splitlines()
    assert experts == '2 experts by slurm/sweep.py run -j 2'
    assert [line.split()[0] for line in lines] == [
        'dispatcher', 'clusters', 'experts', 'features', 'combined', 'results',
    ]  # fmt: skip
    assert all('to do' in line for line in lines)
    assert not out.exists()


def test_a_wrong_file_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r'none\.yaml'):
        call_tool('cascade', 'run', tmp_path / 'none.yaml')
    path = tmp_path / 'a.yaml'
    path.write_text(TEXT.replace('clusters: 2', 'clusters: many'))
    with pytest.raises(SystemExit, match='clusters'):
        call_tool('cascade', 'run', path)


def tree(folder):
    """Relative path of each result -> content."""
    wanted = ('.safetensors', 'results.json', 'done.json')
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.name.endswith(wanted)
        and 'sweep' not in path.parts
        # safetensors writes their metadata in an order of its own.
        and not path.name.endswith('_adapter.safetensors')
    }


def run(file, out, command='run', jobs=1):
    tool = ROOT / 'tools' / 'cascade.py'
    return subprocess.Popen(
        [sys.executable, tool, command, file, '--out', out, '-j', str(jobs)],
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_killed_in_each_step_it_ends_as_undisturbed(file, tmp_path):
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    assert run(file, whole).wait() == 0
    steps = ('dispatcher', 'clusters', 'experts', 'features', 'combined')
    for step in steps:  # killed when it has begun
        process = run(file, killed, jobs=2)
        while process.poll() is None:
            if any(killed.glob(f'{step}-*')):
                time.sleep(1)
                os.killpg(process.pid, signal.SIGKILL)
                break
            time.sleep(0.05)
        process.wait()
    assert run(file, killed, jobs=2).wait() == 0
    assert tree(killed) == tree(whole)

    results = read_json(str(next(whole.glob('results-*/results.json'))))
    rows = {row['method']: row for row in results['rows']}
    assert set(rows) == {'baseline', 'conditional', 'pca_unconditional'}
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(str(next(whole.glob('dispatcher-*/dispatcher.py'))))
    dataset = build_test_set(cfg)
    samples = [dataset[index] for index in range(len(dataset))]
    images = torch.stack([sample['inputs'] for sample in samples])
    labels = [int(sample['data_samples'].gt_label) for sample in samples]
    for method in rows:
        path = tmp_path / f'{method}.safetensors'
        call_tool(
            'cascade', 'export', file, '--out', whole, '--method', method,
            '--classifier', path,
        )  # fmt: skip
        model = MODELS.build(
            dict(
                type='mask_plugins.CascadeClassifier',
                backbone=cfg.model.backbone.module,
                file=str(path),
                data_preprocessor=dict(
                    mean=cfg.data_preprocessor.mean,
                    std=cfg.data_preprocessor.std,
                ),
            )
        )
        found = model.test_step(dict(inputs=images))
        right = [int(s.pred_label) == y for s, y in zip(found, labels)]
        accuracy = 100 * sum(right) / len(right)
        assert accuracy == pytest.approx(rows[method]['probe_top1'])
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match='truncated'):
        MODELS.build(
            dict(
                type='mask_plugins.CascadeClassifier',
                backbone=cfg.model.backbone.module,
                file=str(path),
            )
        )
