# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From a command line to a runner: what ``tools/train.py`` and test share."""

import os.path as osp
from typing import Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mask_plugins.apis.config import check_file, load_config  # noqa: F401

from ..checkpoint.keep_policy import KeepPolicy
from ..hooks import PreemptionHook

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
        pin_memory (bool, optional): Beats the config. Defaults to None.
        persistent_workers (bool, optional): Beats the config. Defaults to
            None.
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
    """Have a run go on from a checkpoint.

    Args:
        cfg (Config): The whole config. Changed in place.
        checkpoint (str): A path, or 'auto' for the newest one in the
            work_dir. Where there is none yet, a ``load_from`` of the config
            is what the run begins with: the same command starts a
            fine-tuning and goes on with it.
    """
    if checkpoint != 'auto':
        cfg.resume, cfg.load_from = True, checkpoint
        return
    begun = osp.isfile(osp.join(cfg.work_dir, 'last_checkpoint'))
    cfg.resume = begun or cfg.get('load_from') is None
    if cfg.resume:
        cfg.load_from = None


def set_keep(cfg: Config, policy: str) -> None:
    """Say which checkpoints stay, whatever the config says.

    Args:
        cfg (Config): The whole config. Changed in place.
        policy (str): See :meth:`KeepPolicy.parse`.

    Raises:
        ValueError: If the policy cannot be read, or the config's checkpoint
            hook is not ``mask_plugins.SafeCheckpointHook``.
    """
    KeepPolicy.parse(policy)
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if hook.get('type') != 'mask_plugins.SafeCheckpointHook':
        raise ValueError(
            "--keep needs default_hooks.checkpoint of type 'mask_plugins."
            f"SafeCheckpointHook', got {hook.get('type')!r}"
        )
    hook.pop('max_keep_ckpts', None)
    hook.keep = policy


def is_preemptible(runner: Runner) -> bool:
    """Whether a runner has a ``PreemptionHook``."""
    return any(isinstance(hook, PreemptionHook) for hook in runner.hooks)


def build_runner(cfg: Config) -> Runner:
    """Build the runner that a config asks for."""
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)
