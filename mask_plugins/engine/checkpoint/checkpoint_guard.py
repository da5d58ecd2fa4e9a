# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What mmengine reads of a checkpoint runs nothing and is of a known kind."""

import os
import os.path as osp
from typing import Any, Sequence
from urllib.parse import urlparse

import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch.torch_version import TorchVersion

from mask_plugins.utils.checks import check_bool, check_int
from mask_plugins.utils.safe_load import read_checkpoint

# Before torch 2.6, even weights_only=True can run code (CVE-2025-32434), and
# OneDL's mmengine unpickles what weights_only=True refuses.
_FALLS_BACK = hasattr(mmengine_checkpoint, '_safe_torch_load')
UNPICKLES = TorchVersion(torch.__version__) < (2, 6) or _FALLS_BACK
_PARTS = dict(
    meta=dict, state_dict=dict, message_hub=dict, optimizer=dict,
    param_schedulers=(list, dict), mask_plugins_plain=list,
)  # fmt: skip
# What a HistoryBuffer consists of, in the order of its arguments.
_HISTORY = ('_log_history', '_count_history', 'max_length')
_HUB = ('log_scalars', 'runtime_info', 'resumed_keys')


def load_tensors(path: str, **options: Any) -> Any:
    """Load a local checkpoint of plain values and tensors, running nothing.

    Args:
        path (str): The file.
        **options: Of ``torch.load``, which is called for it from torch 2.6
            on. Before, and next to OneDL's mmengine, :func:`read_checkpoint`
            reads it, and the histories of mmengine's CheckpointHook are
            rebuilt.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(dict(epoch=3), f'{folder}/a.pth')
        ...     load_tensors(f'{folder}/a.pth')
        {'epoch': 3}
    """
    if UNPICKLES:
        checkpoint = read_checkpoint(path)
        _rebuild_histories(checkpoint)
        return checkpoint
    return torch.load(path, map_location='cpu', weights_only=True, **options)


def _rebuild_histories(checkpoint: Any) -> None:
    """Make history buffers of their contents; mmengine skips anything else."""
    logs = checkpoint
    for name in ('message_hub', 'log_scalars'):
        logs = logs.get(name) if isinstance(logs, dict) else None
    for key, value in logs.items() if isinstance(logs, dict) else ():
        if isinstance(value, dict) and value.keys() >= set(_HISTORY):
            logs[key] = HistoryBuffer(*(value[name] for name in _HISTORY))


def guard_loading() -> None:
    """Let mmengine read files by :func:`load_tensors` where it unpickles.

    That is before torch 2.6, and OneDL's mmengine on any torch.

    Examples:
        >>> guard_loading()
    """
    if UNPICKLES:
        CheckpointLoader.register_scheme('', load_from_local, force=True)
        web = ('http://', 'https://')
        CheckpointLoader.register_scheme(web, load_from_web, force=True)


def load_from_local(filename: str, map_location: Any) -> Any:
    """Mmengine's loader of that name; tensors stay on the CPU."""
    return load_tensors(filename)


def load_from_web(filename: str, map_location: Any = None) -> Any:
    """Download a checkpoint once, to where mmengine would, and read it."""
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    path = osp.join(folder, osp.basename(urlparse(filename).path))
    if not osp.isfile(path):
        os.makedirs(folder, exist_ok=True)
        torch.hub.download_url_to_file(filename, path)
    return load_tensors(path)


def check_parts(checkpoint: Any, keys: Sequence[str] = ()) -> None:
    """Check the kinds of what mmengine reads of a checkpoint.

    Args:
        checkpoint (Any): What was loaded.
        keys (Sequence[str]): What must be in it to resume from it. Defaults
            to (): only the weights are wanted.

    Raises:
        TypeError, ValueError: If a part is missing or of another kind.

    Examples:
        >>> check_parts(dict(meta=['epoch']))
        Traceback (most recent call last):
        ...
        TypeError: meta must be a dict, got a list
    """
    _check(checkpoint, dict, 'a checkpoint')
    for key, kinds in _PARTS.items():
        if key in checkpoint:
            _check(checkpoint[key], kinds, key)
    if not keys:
        return
    meta = checkpoint.get('meta', {})
    for key in ('epoch', 'iter'):
        check_int(f'meta.{key}', meta.get(key), low=0)
    hub = checkpoint.get('message_hub', {})
    for key in _HUB:
        _check(hub.get(key), dict, f'message_hub.{key}')
    for key, value in hub['resumed_keys'].items():
        check_bool(f'message_hub.resumed_keys[{key!r:.40}]', value)
    states = checkpoint.get('param_schedulers', [])
    lists = states.values() if isinstance(states, dict) else [states]
    for listed in lists:
        _check(listed, list, 'param_schedulers')
        for state in listed:
            _check(state, dict, 'the state of a scheduler')
    if meta.get('epoch_position') is not None:
        _check(meta['epoch_position'], (list, tuple), 'meta.epoch_position')
        done, length = meta['epoch_position']
        check_int('meta.epoch_position', length, low=1)
        check_int('meta.epoch_position', done, low=0, high=length)


def drop_config(checkpoint: dict) -> None:
    """Remove the text that mmengine would run as Python on ``--resume``.

    Examples:
        >>> checkpoint = dict(meta=dict(config='import os', epoch=1))
        >>> drop_config(checkpoint)
        >>> checkpoint
        {'meta': {'epoch': 1}}
    """
    check_parts(checkpoint)
    checkpoint.get('meta', {}).pop('config', None)


class CheckpointGuardHook(Hook):
    """:func:`drop_config` for runs with mmengine's own CheckpointHook."""

    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Drop the config, before mmengine reads it."""
        drop_config(checkpoint)


def _check(value: Any, kinds: Any, name: str) -> None:
    if not isinstance(value, kinds):
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        allowed = ' or a '.join(kind.__name__ for kind in kinds)
        raise TypeError(
            f'{name} must be a {allowed}, got a {type(value).__name__}'
        )
