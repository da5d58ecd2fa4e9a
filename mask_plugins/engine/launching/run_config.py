# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From a command line to a runner: what ``tools/train.py`` and test share."""

import os.path as osp
from typing import Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mask_plugins.apis.config import check_file, load_config  # noqa: F401
from mask_plugins.utils.checks import check_choice

from ..checkpoint.checkpoint_guard import CheckpointGuardHook, guard_loading
from ..checkpoint.keep_policy import KeepPolicy
from ..checkpoint.resume import checkpoint_folders, choose_checkpoint
from .quiet_runner import QuietRunner
from .sharding import ShardedClipHook, prepare_sharding

SAFE = 'mask_plugins.SafeCheckpointHook'
DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def set_dataloader_defaults(
    cfg: Config,
    fields: Sequence[str] = DATALOADERS,
    pin_memory: Optional[bool] = None,
    persistent_workers: Optional[bool] = None,
) -> None:
    """Fill in what a config leaves open about its dataloaders.

    Defaults are memory pinned where there is a GPU, workers kept between
    epochs where there are workers, and samples collated without padding.

    Args:
        cfg (Config): The whole config. Changed in place.
        fields (Sequence[str]): Names of the dataloaders. Missing ones are
            skipped. Defaults to all three.
        pin_memory (bool, optional): Overrides the config. Defaults to None.
        persistent_workers (bool, optional): Overrides the config. Defaults
            to None.

    Examples:
        >>> cfg = Config(dict(train_dataloader=dict(num_workers=2)))
        >>> set_dataloader_defaults(cfg)
        >>> cfg.train_dataloader.persistent_workers
        True
    """
    for field in fields:
        loader = cfg.get(field)
        if loader is None:
            continue
        has_workers = loader.get('num_workers', 0) > 0
        loader.setdefault('pin_memory', torch.cuda.is_available())
        loader.setdefault('persistent_workers', has_workers)
        loader.setdefault('collate_fn', dict(type='default_collate'))
        if pin_memory is not None:
            loader.pin_memory = pin_memory
        if persistent_workers is not None:
            loader.persistent_workers = persistent_workers
        # torch refuses persistent workers where there are none.
        loader.persistent_workers = loader.persistent_workers and has_workers


def set_resume(cfg: Config, checkpoint: str) -> None:
    """Resume a run from a checkpoint.

    Args:
        cfg (Config): The whole config. Changed in place.
        checkpoint (str): A path, or 'auto' for the newest sound one of the
            run. Where there is none yet, the run begins with ``load_from`` of
            the config: the same command starts a fine-tuning and resumes it.

    Raises:
        UnsafeCheckpointError: If a checkpoint of the run holds pickled
            objects.

    Examples:
        >>> cfg = Config(dict(work_dir='work_dirs/new', load_from='w.pth'))
        >>> set_resume(cfg, 'auto')
        >>> cfg.resume, cfg.load_from
        (False, 'w.pth')
    """
    if checkpoint != 'auto':
        cfg.resume, cfg.load_from = True, checkpoint
        return
    start, hook = cfg.get('load_from'), _checkpoint_hook(cfg)
    cfg.resume, cfg.load_from = True, None
    if start is None:
        return
    if hook.get('type') == SAFE:
        hook.start_from = start
        return
    if osp.isfile(osp.join(cfg.work_dir, 'last_checkpoint')):
        return  # which mmengine reads
    name = 'epoch_{}.pth' if hook.get('by_epoch', True) else 'iter_{}.pth'
    folders = checkpoint_folders(cfg.work_dir, hook.get('out_dir'))
    name = hook.get('filename_tmpl') or name
    choice = choose_checkpoint(cfg.work_dir, folders, name)
    cfg.resume, cfg.load_from = choice.resume, choice.path or start


def set_keep(cfg: Config, policy: str) -> None:
    """Say which checkpoints stay, whatever the config says.

    Args:
        cfg (Config): The whole config. Changed in place.
        policy (str): See :meth:`KeepPolicy.parse`.

    Raises:
        ValueError: If the policy cannot be read, or the config's checkpoint
            hook is not ``mask_plugins.SafeCheckpointHook``.

    Examples:
        >>> hook = dict(type=SAFE, max_keep_ckpts=2)
        >>> cfg = Config(dict(default_hooks=dict(checkpoint=hook)))
        >>> set_keep(cfg, 'newest:2,best')
        >>> cfg.default_hooks.checkpoint.keep
        'newest:2,best'
    """
    KeepPolicy.parse(policy)
    hook = _checkpoint_hook(cfg)
    check_choice('for --keep, the checkpoint hook', hook.get('type'), (SAFE,))
    hook.pop('max_keep_ckpts', None)
    hook.keep = policy


def build_runner(cfg: Config, quiet: bool = False) -> Runner:
    """Build the runner that a config asks for; no checkpoint runs code.

    Args:
        cfg (Config): The whole config.
        quiet (bool): Whether the console gets warnings and one line per epoch
            in place of the log, which goes to its file all the same. A
            ``runner_type`` of the config keeps its console. Defaults to False.

    Raises:
        ValueError: If FSDP is to shard what it cannot, see
            :func:`~mask_plugins.engine.launching.sharding.prepare_sharding`.
    """
    prepare_sharding(cfg)
    guard_loading()
    plain = QuietRunner if quiet else Runner
    build = RUNNERS.build if 'runner_type' in cfg else plain.from_cfg
    runner = build(cfg)
    runner.register_hook(CheckpointGuardHook())
    runner.register_hook(ShardedClipHook())
    return runner


def _checkpoint_hook(cfg: Config) -> dict:
    return (cfg.get('default_hooks') or {}).get('checkpoint') or {}
