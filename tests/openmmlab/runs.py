# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The shipped configs of mmdet and mmseg, small, on generated images."""

import importlib.util
import os
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict

from mask_plugins.apis.model import build_model
from tests.common.processes import ROOT, clean_environ, run_python
from tests.configs.configs import load

SIZE = (128, 64)
CROP = (64, 64)
VIT = dict(embed_dims=24, num_layers=12, num_heads=2, feedforward_channels=48)
STAGES = dict(
    rounds=1, epochs_per_round=2, ticket_epochs=1, rewind_epoch=1, penalty=0.0
)


def project_of(name):
    """The project whose configs are in the folder of this one."""
    (path,) = (ROOT / 'configs').glob(f'mm*/{name}.py')
    return path.parent.name


def write_shapes(kind, root, images=(8, 4)):
    """Generated images, by the script that users have."""
    run_python(
        ROOT / 'demo/generated_shapes.py', kind, root,
        '--images', *images, '--size', *SIZE,
    )  # fmt: skip


def small(cfg, root):
    """A config of either project: on a CPU, untrained, three short epochs.

    Args:
        cfg (Config): Changed in place.
        root (Path): Has the data, in ``coco`` or ``city``, and gets the rest.

    Returns:
        Config: The same.
    """
    cfg.work_dir = str(root / 'work')
    cfg.log_level = 'WARNING'
    cfg.env_cfg.dist_cfg = dict(backend='gloo')
    cfg.env_cfg.cudnn_benchmark = False
    _walk(cfg._cfg_dict)
    is_detector = cfg.default_scope == 'mmdet'
    data = str(root / ('coco' if is_detector else 'city')) + '/'
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = data
        if is_detector:
            loader.dataset.metainfo = dict(classes=('box', 'disc'))
    cfg.train_dataloader.batch_size = 2
    (_shrink_detector if is_detector else _shrink_segmentor)(cfg, data)
    hook = cfg.default_hooks.get('sparsification')
    if hook is not None:
        hook.update(STAGES)
    if 'max_epochs' in cfg.train_cfg:
        cfg.train_cfg.update(max_epochs=3, val_interval=3)
        cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=-1)
    else:
        cfg.train_cfg.update(max_iters=12, val_interval=12)
        cfg.default_hooks.checkpoint.update(interval=4, max_keep_ckpts=-1)
    return cfg


def inner(model):
    """The config of the detector or segmentor inside wrappers."""
    return inner(model.module) if 'module' in model else model


def _shrink_detector(cfg, data):
    model = inner(cfg.model)
    model.bbox_head.update(num_classes=2, feat_channels=32, stacked_convs=1)
    if model.neck is None:
        model.backbone.module.arch = VIT
        model.bbox_head.in_channels = VIT['embed_dims']
    else:
        model.neck.out_channels = model.bbox_head.in_channels = 32
    # Nearly untrained, it is sure of nothing.
    model.test_cfg.update(score_thr=0.0, max_per_img=10)
    for split in ('val', 'test'):
        path = f'{data}annotations/instances_val2017.json'
        cfg[f'{split}_evaluator'].ann_file = path
    for scheduler in cfg.param_scheduler:
        if 'stage_epochs' in scheduler:
            scheduler.update(stage_epochs=2, milestones=[1])


def _shrink_segmentor(cfg, data):
    model = inner(cfg.model)
    model.data_preprocessor.size = CROP
    model.decode_head.channels = model.auxiliary_head.channels = 8
    backbone = model.backbone
    if 'module' in backbone:
        backbone.module.update(arch=VIT, img_size=CROP)
        width = VIT['embed_dims']
        model.decode_head.in_channels = model.auxiliary_head.in_channels = (
            width
        )
    if 'stage_epochs' in cfg.param_scheduler:
        cfg.param_scheduler.update(stage_epochs=2, milestones=[1])
    for hook in cfg.get('custom_hooks', ()):
        if hook.type.endswith('PSSHook'):
            hook.schedule.period = 4
    if 'teacher' in cfg.model:
        _small_teacher(cfg, Path(data).parent / 'teacher.pth')


def _small_teacher(cfg, path):
    """A teacher of the student's architecture, with other weights."""
    torch.manual_seed(5)
    alone = dict(default_scope='mmseg', model=inner(cfg.model))
    model = build_model(Config(alone))
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), path)
    cfg.model.teacher.update(config='', checkpoint=str(path))
    for loss in cfg.model.losses:
        if 'channels' in loss:
            loss.channels = (512, 512)


def _walk(node):
    """No downloads, no SyncBN, which needs a GPU, and small images."""
    values = node.values() if isinstance(node, dict) else node
    for value in values:
        if isinstance(value, (dict, list, tuple)):
            _walk(value)
    if not isinstance(node, dict):
        return
    kind = node.get('type')
    if kind == 'SyncBN':
        node['type'] = 'BN'
    if isinstance(node.get('init_cfg'), dict):
        if node['init_cfg'].get('type') == 'Pretrained':
            node['init_cfg'] = None
    if 'pretrained' in node:
        node['pretrained'] = None
    if kind in ('Resize', 'RandomResize'):
        node['scale'] = SIZE
    if kind == 'RandomCrop':
        node['crop_size'] = CROP


def build(cfg):
    """The model, untrained."""
    torch.manual_seed(0)
    return build_model(cfg)


def small_file(name, root, **changes):
    """A shipped config, small, as a file; ``changes`` are options."""
    cfg = small(load(name), root)
    cfg.merge_from_dict(changes)
    path = root / f'{name}.py'
    cfg.dump(path)
    return path


def environ():
    """Of a process that has this checkout, and what this one was given."""
    paths = [str(ROOT), os.environ.get('PYTHONPATH', '')]
    return clean_environ(PYTHONPATH=os.pathsep.join(filter(None, paths)))


def train(config, work_dir, *args, code=0, death=None):
    """Train by the project's own tool; ``death`` are options of EndHook."""
    cfg = Config.fromfile(config)
    tool = tool_of(cfg.default_scope, 'train.py')
    if death is not None:
        config = Path(config).with_name('dies.py')
        cfg.custom_imports = ConfigDict(imports=['tests.common.runs'])
        hook = ConfigDict(type='mask_plugins.EndHook', **death)
        cfg.custom_hooks.append(hook)
        cfg.dump(config)
    return run_python(
        tool, config, '--work-dir', work_dir, *args, code=code, env=environ(),
    )  # fmt: skip


def tool_of(project, name):
    """A tool that a project has installed."""
    (folder,) = importlib.util.find_spec(project).submodule_search_locations
    return Path(folder) / '.mim' / 'tools' / name


def python(code, *args, **kwargs):
    """Run code in a process of its own; what it prints."""
    return run_python('-c', code, *args, env=environ(), **kwargs)


def weights_of(path):
    """All of a checkpoint that a training continues with."""
    saved = torch.load(path, map_location='cpu', weights_only=True)
    return saved['state_dict'], saved['optimizer']['state']
