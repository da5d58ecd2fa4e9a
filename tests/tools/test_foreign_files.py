# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every route into the package, given the files of strangers.

Nothing in them is run, and the error names the file.
"""

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from torch import nn

from mask_plugins.apis.model import build_model, load_trained_model
from mask_plugins.core.weights import load_masks, read_adapter
from mask_plugins.models.teachers import EnsembleTeacher
from mask_plugins.models.teachers.network import Network
from mask_plugins.registry import MODELS
from tests.common.foreign_files import FOREIGN
from tests.evaluation.models import RESNET, write_model

ROOT = Path(__file__).resolve().parents[2]
# The lies that every reader could believe; all of them are in
# tests/utils/test_safe_load.py.
NAMES = [
    name
    for name in FOREIGN
    if not name.startswith('lie-')
    or name in ('lie-storage', 'lie-header', 'lie-deep_header', 'lie-itself')
]
TEST = """
val_dataloader = test_dataloader
test_evaluator = val_evaluator = dict(type='Accuracy')
test_cfg = val_cfg = dict()
train_dataloader = dict(test_dataloader, batch_size=8)
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
default_hooks = dict(checkpoint=dict(type='mask_plugins.SafeCheckpointHook'))
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The files, a sound model, and where the canary would be."""
    folder = tmp_path_factory.mktemp('foreign')
    for name in NAMES:
        FOREIGN[name](folder / f'{name}.pth', folder / 'canary')
    config, _ = write_model(folder, RESNET)
    with open(config, 'a') as file:
        file.write(TEST)
    student = Config.fromfile(config)
    student.model.type = 'mask_plugins.ReferenceClassifier'
    student.model.teacher = dict(type='mask_plugins.EMATeacher')
    student.dump(folder / 'student.py')
    Image.new('RGB', (16, 16)).save(folder / 'query.png')
    return folder


def tool(*parts):
    """A tool, run in this process with these arguments."""

    def call(folder, path):
        values = dict(
            file=path, config=folder / 'tiny.py', sound=folder / 'tiny.pth',
            out=folder / 'out.pth', folder=folder / 'work',
            student=folder / 'student.py', image=folder / 'query.png',
        )  # fmt: skip
        script, *args = (part.format(**values) for part in parts)
        before, sys.argv = sys.argv, [script, *args]
        try:
            runpy.run_path(str(ROOT / 'tools' / script), run_name='__main__')
        finally:
            sys.argv = before

    return call


def teacher(folder, path):
    student = build_model(Config.fromfile(folder / 'tiny.py'))
    network = Network(student.backbone, student.neck, student.head)
    EnsembleTeacher(checkpoints=path).attach(network)


def trained_model(folder, path):
    load_trained_model(Config.fromfile(folder / 'tiny.py'), path)


def head(folder, path):
    MODELS.build(
        dict(
            type='mask_plugins.TextPrototypeClsHead',
            num_classes=2,
            in_channels=3,
        )
    ).load_prototypes(path)


def adapter(folder, path):
    load_masks(nn.Linear(2, 2), path)


ROUTES = dict(
    export_masks=tool('weights/export_masks.py', '{config}', '{file}'),
    merge_masks=tool('weights/merge_masks.py', '{config}', '{file}'),
    extract_student=tool(
        'weights/extract_student.py', '{student}', '{file}'
    ),
    inspect_masks=tool('weights/inspect_masks.py', '{file}'),
    compare_masks=tool('weights/compare_masks.py', '{file}', '{file}'),
    apply_masks=tool(
        'weights/apply_masks.py', '{config}', '{sound}', '{file}'
    ),
    sweep_drop=tool('analysis/sweep_drop.py', '{config}', '{file}'),
    linear_probe=tool('analysis/linear_probe.py', '{config}', '{file}'),
    retrieve=tool(
        'analysis/retrieve.py', '{config}', '{file}', '--query', '{image}'
    ),
    image_patches=tool('analysis/image_patches.py', '{config}', '{file}'),
    patch_distribution=tool(
        'analysis/patch_distribution.py', '{config}', '{file}'
    ),
    embedding_map=tool('analysis/embedding_map.py', '{config}', '{file}'),
    compare_gates=tool('analysis/compare_gates.py', '{config}', '{file}'),
    deit=tool('model_converters/deit_to_mask_plugins.py', '{file}', '{out}'),
    simmim=tool(
        'model_converters/simmim_to_mask_plugins.py', '{file}', '{out}'
    ),
    clip=tool('model_converters/clip_to_mask_plugins.py', '{file}', '{out}'),
    prototypes=tool(
        'model_converters/clip_prototypes.py',
        '{file}', 'tokenizer.json', '{out}', '--classes', 'cat',
    ),
    stock=tool('model_converters/stock_to_safe.py', '{file}', '{out}'),
    teacher=teacher,
    trained_model=trained_model,
    head=head,
    adapter=adapter,
    read_adapter=lambda folder, path: read_adapter(path),
)  # fmt: skip


@pytest.mark.parametrize('route', ROUTES)
def test_routes(folder, route, monkeypatch):
    monkeypatch.chdir(folder)
    init_default_scope('mmpretrain')
    # It makes its clips each time.
    for name in NAMES[:3] if route == 'compare_gates' else NAMES:
        path = folder / f'{name}.pth'
        with pytest.raises((SystemExit, ValueError, OSError)) as info:
            ROUTES[route](folder, str(path))
        message = str(info.value)
        assert re.search(re.escape(path.name), message), (name, message)
        assert not (folder / 'canary').exists(), name
    assert not (folder / 'out.pth').exists()


RUNNER = dict(
    test=tool('test.py', '{config}', '{file}', '--work-dir', '{folder}'),
    resume=tool(
        'train.py', '{config}', '--resume', '{file}', '--work-dir', '{folder}'
    ),
    load_from=tool(
        'train.py', '{config}', '--work-dir', '{folder}',
        '--cfg-options', 'load_from={file}',
    ),
)  # fmt: skip


def pretrained(folder, path):
    cfg = Config.fromfile(folder / 'tiny.py')
    cfg.model.init_cfg = dict(type='Pretrained', checkpoint=path)
    build_model(cfg).init_weights()


@pytest.mark.parametrize('route', [*RUNNER, 'init_cfg'])
def test_what_mmengine_reads(folder, route, monkeypatch):
    """By torch.load, whose errors do not always name the file."""
    if not hasattr(torch.serialization, 'safe_globals'):
        pytest.skip('torch.load of this version runs what it reads')
    monkeypatch.chdir(folder)
    call = RUNNER.get(route, pretrained)
    for name in ('code-zip', 'code-legacy', 'code-script', 'lie-itself'):
        with pytest.raises((SystemExit, Exception)) as info:
            call(folder, str(folder / f'{name}.pth'))
        assert str(info.value) not in ('', '0'), name
        assert not (folder / 'canary').exists(), name
