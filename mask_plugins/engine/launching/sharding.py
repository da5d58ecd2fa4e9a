# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What FSDP can shard, and how a config asks for it."""

from typing import Iterator

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.nn.utils import clip_grad_norm_

from mask_plugins.apis.model import build_model
from mask_plugins.core.weights import named_masks
from mask_plugins.utils.checks import check_choice
from mask_plugins.utils.compat_torch import SHARDS_ON_CPU, TORCH
from mask_plugins.utils.first_few import first_few

FSDP = 'FullySharded'
HOW = (
    "runner_type='FlexibleRunner' and strategy=dict(type='FSDPStrategy', "
    "state_dict_cfg='full', model_wrapper=dict(type="
    "'MMFullyShardedDataParallel'))"
)
FULL = dict(
    state_dict_type='FULL_STATE_DICT',
    state_dict_config=dict(type='FullStateDictConfig'),
    optim_state_dict_config=dict(type='FullOptimStateDictConfig'),
)

OF_STUDENT = (
    'it is made of the weights of the student, of which each process has a '
    'part'
)
# Classes by name, as some of them need mmpretrain.
PARTS = dict(
    MaskedFeatureHead='its weights have other names in a checkpoint',
    SwAVHead='it normalizes its prototypes in place',
    EMATeacher=OF_STUDENT,
    SnapshotTeacher=OF_STUDENT,
)


class ShardedClipHook(Hook):
    """Clip gradients by the norm of all of them, which are on all ranks."""

    def before_train(self, runner: Runner) -> None:
        """Replace torch's function, which knows those of this rank alone."""
        model, optim = runner.model, runner.optim_wrapper
        if isinstance(model, FullyShardedDataParallel):
            if getattr(optim, 'clip_func', None) is clip_grad_norm_:
                optim.clip_func = lambda params, **k: model.clip_grad_norm_(
                    **k
                )


def prepare_sharding(cfg: Config) -> None:
    """Check a config that asks for FSDP; set it up where there is no GPU.

    Patch sampling (PSS), patch gates (PASS) and stock models are sharded as
    they are. What reads or writes a whole weight outside of the forward of
    the model is refused, before a process waits for another.

    Args:
        cfg (Config): The whole config. Changed in place.

    Raises:
        ValueError: If the runner, the form of the checkpoints or a part of
            the model does not go with FSDP; it says what to use.

    Examples:
        >>> wrapper = dict(type='MMFullyShardedDataParallel')
        >>> prepare_sharding(Config(dict(model_wrapper_cfg=wrapper)))
        Traceback (most recent call last):
        ...
        ValueError: model_wrapper_cfg.type='MMFullyShardedDataParallel' ...
    """
    wrapper = (cfg.get('model_wrapper_cfg') or {}).get('type')
    strategy = cfg.get('strategy') or {}
    if FSDP in str(wrapper):
        raise ValueError(
            f'model_wrapper_cfg.type={wrapper!r} is sharded before its '
            f'weights are initialized: use {HOW}'
        )
    if strategy.get('type') != 'FSDPStrategy':
        return
    check_choice(
        "runner_type with strategy.type='FSDPStrategy'",
        cfg.get('runner_type'),
        ('FlexibleRunner',),
    )
    form = strategy.get('state_dict_cfg', 'local')
    if isinstance(form, dict):
        form = form.get('state_dict_type')
    check_choice(
        'strategy.state_dict_cfg (checkpoints are one file)',
        form,
        ('full', FULL['state_dict_type']),
    )
    if cfg.get('resume'):
        raise ValueError(
            "resume: mmengine's FSDPStrategy cannot load the state of an "
            'optimizer since torch 2.1: use DistributedDataParallel, or '
            'load_from for the weights alone'
        )
    reasons = list(_reasons(build_model(cfg)))
    if reasons:
        raise ValueError(
            f"strategy.type='FSDPStrategy' cannot train {reasons[0]}; use "
            'DistributedDataParallel: leave out runner_type and strategy'
        )
    optim = cfg.get('optim_wrapper') or {}
    if optim.get('type') == 'AmpOptimWrapper':
        optim.setdefault('use_fsdp', True)  # one loss scale for all ranks
    if get_device() == 'cpu':
        if not SHARDS_ON_CPU:
            raise ValueError(
                f"strategy.type='FSDPStrategy' needs a GPU or torch 2.2, got "
                f'torch {TORCH}; use DistributedDataParallel: leave out '
                'runner_type and strategy'
            )
        if not strategy.get('model_wrapper'):
            strategy.model_wrapper = dict(type='MMFullyShardedDataParallel')
        strategy.model_wrapper.setdefault('device_id', 'cpu')
        # 'full' also copies to the CPU, where torch crashes on one.
        strategy.state_dict_cfg = FULL


def _reasons(model: nn.Module) -> Iterator[str]:
    masks = [item.name for item in named_masks(model)]
    if masks:
        yield (
            f'weight masks ({first_few(masks)}): it flattens the parameters '
            'that they belong to'
        )
    for name, module in model.named_modules():
        for base in type(module).__mro__:
            if base.__name__ in PARTS:
                kind = type(module).__name__
                yield f'{name}, {kind}: {PARTS[base.__name__]}'
    scalars = [name for name, p in model.named_parameters() if not p.ndim]
    if scalars:
        yield f'{first_few(scalars)}: a parameter without dimensions'
