# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every route into the package, given the files of strangers.

Nothing in them is run, and the error names the file.
"""

import re

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from torch import nn

from mask_plugins.apis.model import build_model, load_trained_model
from mask_plugins.core.weights import load_masks, read_adapter
from mask_plugins.engine.checkpoint.checkpoint_guard import (
    UNPICKLES,
    guard_loading,
)
from mask_plugins.models.teachers import EnsembleTeacher
from mask_plugins.models.teachers.network import Network
from mask_plugins.registry import MODELS
from tests.common.foreign_files import FOREIGN
from tests.common.tools import run_tool
from tests.evaluation.models import RESNET, write_model

# The lies that every reader could believe; all of them are in
# tests/utils/test_safe_load.py.
NAMES = [
    name
    for name in FOREIGN
    if not name.startswith('lie-')
    or name[4:] in ('storage', 'header', 'deep_header', 'itself')
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


def tool(name, args):
    """A tool, run in this process with these arguments."""

    def call(folder, path):
        values = dict(
            file=path, config=folder / 'tiny.py', sound=folder / 'tiny.pth',
            out=folder / 'out.pth', folder=folder / 'work',
            student=folder / 'student.py', image=folder / 'query.png',
        )  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            run_tool(patch, name, *args.format(**values).split())

    return call


def teacher(folder, path):
    student = build_model(Config.fromfile(folder / 'tiny.py'))
    network = Network(student.backbone, student.neck, student.head)
    EnsembleTeacher(checkpoints=path).attach(network)


def trained_model(folder, path):
    load_trained_model(Config.fromfile(folder / 'tiny.py'), path)


def head(folder, path):
    kind = 'mask_plugins.TextPrototypeClsHead'
    cfg = dict(type=kind, num_classes=2, in_channels=3)
    MODELS.build(cfg).load_prototypes(path)


ROUTES = {
    'weights/export_masks': '{config} {file}',
    'weights/merge_masks': '{config} {file}',
    'weights/extract_student': '{student} {file}',
    'weights/inspect_masks': '{file}',
    'weights/compare_masks': '{file} {file}',
    'weights/apply_masks': '{config} {sound} {file}',
    'analysis/sweep_drop': '{config} {file}',
    'analysis/linear_probe': '{config} {file}',
    'analysis/retrieve': '{config} {file} --query {image}',
    'analysis/image_patches': '{config} {file}',
    'analysis/patch_distribution': '{config} {file}',
    'analysis/embedding_map': '{config} {file}',
    'analysis/compare_gates': '{config} {file}',
    'model_converters/deit_to_mask_plugins': '{file} {out}',
    'model_converters/simmim_to_mask_plugins': '{file} {out}',
    'model_converters/clip_to_mask_plugins': '{file} {out}',
    'model_converters/clip_prototypes': '{file} a.json {out} --classes cat',
    'model_converters/stock_to_safe': '{file} {out}',
}
ROUTES = {name: tool(name, args) for name, args in ROUTES.items()}
ROUTES.update(
    teacher=teacher,
    trained_model=trained_model,
    head=head,
    adapter=lambda folder, path: load_masks(nn.Linear(2, 2), path),
    read_adapter=lambda folder, path: read_adapter(path),
)


@pytest.mark.parametrize('route', ROUTES)
def test_routes(folder, route, monkeypatch):
    monkeypatch.chdir(folder)
    init_default_scope('mmpretrain')
    # It makes its clips each time.
    for name in NAMES[:3] if route == 'analysis/compare_gates' else NAMES:
        path = folder / f'{name}.pth'
        with pytest.raises((SystemExit, ValueError, OSError)) as info:
            ROUTES[route](folder, str(path))
        message = str(info.value)
        assert re.search(re.escape(path.name), message), (name, message)
        assert not (folder / 'canary').exists(), name
    assert not (folder / 'out.pth').exists()


def pretrained(folder, path):
    guard_loading()  # as tools/train.py does
    cfg = Config.fromfile(folder / 'tiny.py')
    cfg.model.init_cfg = dict(type='Pretrained', checkpoint=path)
    build_model(cfg).init_weights()


BY_TORCH = dict(
    test=tool('test', '{config} {file} --work-dir {folder}'),
    resume=tool('train', '{config} --resume {file} --work-dir {folder}'),
    load_from=tool('train', '{config} --work-dir {folder} --cfg-options '
                   'load_from={file}'),
    init_cfg=pretrained,
)  # fmt: skip


@pytest.mark.parametrize('route', BY_TORCH)
def test_what_mmengine_reads(folder, route, monkeypatch):
    """By torch.load, whose errors do not always name the file."""
    if not hasattr(torch.serialization, 'safe_globals'):
        pytest.skip('torch.load of this version runs what it reads')
    monkeypatch.chdir(folder)
    for name in ('code-zip', 'code-legacy', 'code-script', 'lie-itself'):
        message = 'our own reader takes the tensors of TorchScript'
        try:
            BY_TORCH[route](folder, str(folder / f'{name}.pth'))
        except (SystemExit, Exception) as error:
            message = str(error)
        else:
            assert (UNPICKLES, name) == (True, 'code-script')
        assert message not in ('', '0'), name
        assert not (folder / 'canary').exists(), name
