# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A short run of each method, from its config on digits, through the tools."""

import copy

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.distributed.fsdp import FullyShardedDataParallel

import mask_plugins.engine  # noqa: F401
from mask_plugins.registry import HOOKS
from tests.common.processes import ROOT, metrics_of, run_tool
from tests.common.runs import EndHook

__all__ = ['EndHook', 'metrics_of']  # for whom the runs are enough

FEATURE = 'masked_feature/{}_resnet18-c16_1xb64-15e_digits.py'
CONTINUAL = (
    'masked_feature/continual-{}_resnet18-c16_1xb32-8e_digits-5tasks.py'
)
RESNET = {
    'model.backbone.stem_channels': 4,
    'model.backbone.base_channels': 4,
}
TASKS = {
    'train_dataloader.dataset.tasks': 2,
    'val_dataloader.dataset.tasks': 2,
    'test_dataloader.dataset.tasks': 2,
    'train_cfg.epochs': 2,
    'train_cfg.later_epochs': 1.0,
}
PSS = {
    'model.backbone.arch': dict(
        embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48
    ),
    'model.backbone.drop_rate': 0.1,
    'model.head.in_channels': 24,
    'param_scheduler.warmup': 1,
}
# Of these, half of the classes are trained.
HALVED = ('smn', 'smn-swav', 'lwf', 'masked-lwf')
# The config, and what makes three epochs of it small, and reach each of its
# states.
METHODS = {
    'ce': (FEATURE.format('ce'), {**RESNET, 'model.head.in_channels': 32}),
    'pss': ('pss/pss_vit-tiny_1xb16-magnitude-cyclic-80-0-30e_digits.py', PSS),
    'pss-budget': (
        'pss/pss_vit-tiny_1xb16-magnitude-cyclic-80-0-budget-30e_digits.py',
        {**PSS, 'train_dataloader.batch_sampler.max_batch_size': 12},
    ),
    'cs': (
        'continuous_sparsification/cs_resnet20_1xb64-3x10e_digits.py',
        {
            'model.backbone.depth': 8,
            'param_scheduler.stage_epochs': 2,
            'param_scheduler.milestones': [1],
            'default_hooks.sparsification.rounds': 1,
            'default_hooks.sparsification.epochs_per_round': 2,
            'default_hooks.sparsification.ticket_epochs': 1,
            'find_unused_parameters': True,
        },
    ),
    'smn': (
        'self_masking/smn_resnet18-narrow_1xb64-30e_digits.py',
        {
            'model.backbone.module.init_cfg': None,
            'model.backbone.module.stem_channels': 4,
            'model.backbone.module.base_channels': 4,
            'model.head.in_channels': 32,
            'param_scheduler.warmup': 1,
        },
    ),
    'smn-swav': (
        'self_masking/smn-swav_resnet18-narrow_1xb64-30e_digits.py',
        {
            'model.backbone.module.init_cfg': None,
            'model.backbone.module.stem_channels': 4,
            'model.backbone.module.base_channels': 4,
            'model.neck.in_channels': 32,
            'model.head.queue_length': 32,
            'train_dataloader.drop_last': False,
            # After the seeds and the log: SwAVHook, in epoch and iteration.
            'custom_hooks.2.queue_start_epoch': 1,
            'custom_hooks.2.freeze_prototypes': 6,
        },
    ),
    'masked-feature-ema': (
        FEATURE.format('masked-feature-ema'),
        {
            **RESNET,
            'model.head.head.in_channels': 32,
            'model.teacher.begin': 1,
        },
    ),
    'self-kd': (
        FEATURE.format('self-kd'),
        {
            **RESNET,
            'model.head.in_channels': 32,
            'model.teacher.begin': 1,
            'model.teacher.interval': 1,
        },
    ),
    'hgsl': ('hgsl/hgsl-k4_resnet8_1xb64-30e_digits.py', {}),
    'lwf': (
        CONTINUAL.format('lwf'),
        {**RESNET, **TASKS, 'model.head.head.in_channels': 32},
    ),
    'masked-lwf': (
        CONTINUAL.format('masked-lwf'),
        {**RESNET, **TASKS, 'model.head.head.head.in_channels': 32},
    ),
    'pass': (
        'pass/pass-pretrain_resnet18_1xb8-6e_synthetic.py',
        {
            'model.backbone.base_channels': 8,
            'model.backbone.stem_channels': 8,
            'train_dataloader.batch_size': 4,
            'train_dataloader.dataset.num_clips': 18,
            'train_dataloader.dataset.clip_len': 2,
        },
    ),
}


@HOOKS.register_module(force=True)
class EqualRanksHook(Hook):
    """All ranks validate to the same numbers and end with one model."""

    def after_val_epoch(self, runner, metrics=None):
        self._compare(metrics)

    def after_train(self, runner):
        model = runner.model  # FSDP's own gathers what each rank has
        if not isinstance(model, FullyShardedDataParallel):
            model = getattr(model, 'module', model)
        self._compare({k: v.tolist() for k, v in model.state_dict().items()})

    def _compare(self, values):
        if dist.is_initialized():
            ranks = [None] * dist.get_world_size()
            dist.all_gather_object(ranks, values)
            different = [k for k in values if ranks[0][k] != ranks[-1][k]]
            assert not different, f'ranks differ: {different}'


def method_config(method, hooks=(), counts=(40, 45), **options):
    """The config of a short run.

    Args:
        method (str): One of ``METHODS``.
        hooks (list): More custom hooks.
        counts (tuple): Images to train and to evaluate. By default 20 per
            rank of two, in batches of 8, 8 and 4; of 45, one is padding.
        **options: As ``merge_from_dict``.
    """
    name, small = METHODS[method]
    cfg = Config.fromfile(str(ROOT / 'configs' / name))
    base = {
        'default_hooks.checkpoint.interval': 1,
        'train_dataloader.batch_size': 8,
    }
    if 'lwf' not in method:
        base['train_cfg.max_epochs'] = 3
        if cfg.val_dataloader:
            base['train_cfg.val_interval'] = 1
    cfg.merge_from_dict(copy.deepcopy({**base, **small, **options}))
    for part in ('train', 'val', 'test'):
        count = counts[part != 'train']
        if part == 'train' and method in HALVED:
            count *= 2  # a part of the classes at a time
        _shrink(cfg.get(f'{part}_dataloader'), count)
    cfg.custom_hooks += [dict(type='mask_plugins.EqualRanksHook'), *hooks]
    return cfg


def _shrink(value, count):
    if isinstance(value, dict):
        if value.get('type') == 'mask_plugins.Digits':
            value.setdefault('indices', count)
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _shrink(item, count)


def write_config(method, path, hooks=(), **options):
    """Write the config of a short run; returns the path."""
    method_config(method, hooks, **options).dump(str(path))
    return path


def train(folder, method, *args, ranks=1, code=0, timeout=240, **options):
    """Run tools/train.py; the output of the first rank.

    Args:
        folder (Path): The work_dir. The config is written next to it.
        method (str): One of ``METHODS``.
        *args: More arguments of the tool.
        ranks (int): Number of processes.
        code (int | list[int] | None): The exit codes expected; None for any
            error.
        timeout (float): Seconds until all are killed.
        **options: As :func:`method_config`.
    """
    config = write_config(method, f'{folder}.py', **options)
    args = (config, '--work-dir', folder, *args)
    codes, output = run_tool(
        folder, 'train.py', *args, ranks=ranks, timeout=timeout
    )
    expected = code if isinstance(code, list) else [code] * ranks
    fine = 0 not in codes if code is None else codes == expected
    assert fine, (codes, *output)
    return output[0]


_count = 0


def named(cfg, work_dir):
    """The config of a run of its own: mmengine keeps loggers by name."""
    global _count
    _count += 1
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'run_{_count}'
    return cfg


def build(work_dir, method, **options):
    """The Runner of a short run in this process."""
    torch.set_num_threads(1)
    return Runner.from_cfg(named(method_config(method, **options), work_dir))


def with_teacher(teacher, masked=None, **model):
    """Options that give ``ce`` a teacher, and perhaps a masked head."""
    options = {
        'model.type': 'mask_plugins.ReferenceClassifier',
        'model.teacher': dict(teacher, type=f'mask_plugins.{teacher["type"]}'),
        'default_hooks.teacher': dict(type='mask_plugins.TeacherHook'),
        **{f'model.{key}': value for key, value in model.items()},
    }
    if masked is not None:
        options['model.head'] = dict(
            _delete_=True,
            type='mask_plugins.MaskedFeatureHead',
            head=dict(type='LinearClsHead', num_classes=10, in_channels=32),
            **masked,
        )
    return options
