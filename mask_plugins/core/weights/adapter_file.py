# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Adapter files: the masks of a task, and what else the task needs.

Layout (safetensors): for each masked parameter a tensor ``masks/<name>``,
uint8, one bit per weight as ``numpy.packbits`` orders them in C order; for
each buffer (norm statistics) and each trained parameter that has no mask (the
head) a tensor ``state/<key>``. Metadata, all text: ``format``, ``version``,
``masks`` (JSON: name -> shape, kind, factor, scale, chunks), ``base_sha256``
of all that the file does not hold, ``bases`` (JSON: name -> begin of the
SHA-256 of the masked weight), and ``info`` (JSON: what the writer added).
"""

import json
import os
from dataclasses import dataclass, field
from typing import Any, Dict, Optional

import torch
from torch import Tensor, nn

from .base_hash import base_hash, mask_keys, tensor_hash
from .binary_mask import KINDS
from .bits import pack_bits
from .lifecycle import named_masks

FORMAT = 'mask_plugins.masks'
VERSION = '1'
_SETTINGS = dict(kind=str, factor=float, scale=bool, chunks=int)


@dataclass(frozen=True)
class Adapter:
    """The content of an adapter file.

    Args:
        masks (dict[str, Tensor]): Name of the parameter -> packed bits.
        settings (dict[str, dict]): Name -> ``shape``, ``kind``, ``factor``,
            ``scale``, ``chunks``: arguments of :class:`BinaryMask`.
        state (dict[str, Tensor]): Key of the state dict -> value.
        base_sha256 (str): Of the weights that the masks belong to.
        bases (dict[str, str]): Name -> hash of the masked weight alone, for
            where only some masks are taken.
        info (dict): Plain values that the writer added.
    """

    masks: Dict[str, Tensor]
    settings: Dict[str, Dict[str, Any]]
    state: Dict[str, Tensor]
    base_sha256: str
    bases: Dict[str, str]
    info: Dict[str, Any] = field(default_factory=dict)

    @property
    def mask_bytes(self) -> int:
        """Bytes of the packed masks."""
        return sum(packed.numel() for packed in self.masks.values())

    @property
    def state_bytes(self) -> int:
        """Bytes of what else the task needs."""
        return sum(t.numel() * t.element_size() for t in self.state.values())


def pack_masks(
    model: nn.Module,
    path: Optional[str] = None,
    info: Optional[Dict[str, Any]] = None,
) -> Adapter:
    """Make the adapter of a masked model, and write it to a file.

    Soft masks are packed as their ticket. The file appears whole or not at
    all.

    Args:
        model (nn.Module): With masks.
        path (str, optional): Where to write, ``*.safetensors``. Defaults to
            None: nowhere.
        info (dict, optional): Plain values to keep. Defaults to None.

    Returns:
        Adapter: What was written.

    Raises:
        ValueError: If the model has no masks, or some logits or scores are
            NaN.
    """
    items = list(named_masks(model))
    if not items:
        raise ValueError('pack_masks: the model has no masks')
    broken = [item.name for item in items if not item.mask.finite()]
    if broken:
        raise ValueError(
            f'pack_masks: logits or scores of {broken} are NaN or infinite; '
            'the training has diverged'
        )
    masks, settings = {}, {}
    for item in items:
        hard = item.mask.hard()
        masks[item.name] = pack_bits(hard)
        settings[item.name] = dict(
            shape=list(hard.shape), **item.mask.settings()
        )
    adapter = Adapter(
        masks,
        settings,
        {k: v.detach().cpu().clone() for k, v in task_state(model).items()},
        base_hash(model, task_state(model)),
        {item.name: tensor_hash(item.parameter) for item in items},
        dict(info or {}),
    )
    if path is not None:
        write_adapter(adapter, path)
    return adapter


def task_state(model: nn.Module) -> Dict[str, Tensor]:
    """Buffers, and trained parameters without a mask, by their key.

    Args:
        model (nn.Module): Any module; what belongs to its masks is left out.

    Returns:
        dict[str, Tensor]: Not copied.
    """
    inside = mask_keys(model)
    masked = {id(item.parameter) for item in named_masks(model)}
    kept = {
        name
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if id(parameter) in masked or not parameter.requires_grad
    }
    return {
        key: value
        for key, value in model.state_dict(keep_vars=True).items()
        if isinstance(value, Tensor) and key not in kept and key not in inside
    }


def write_adapter(adapter: Adapter, path: str) -> None:
    """Write an adapter file; it appears whole or not at all.

    Args:
        adapter (Adapter): What to write.
        path (str): The file.
    """
    save_file = _safetensors().torch.save_file
    tensors = {f'masks/{k}': v for k, v in adapter.masks.items()}
    tensors.update(
        {f'state/{k}': v.contiguous() for k, v in adapter.state.items()}
    )
    metadata = dict(
        format=FORMAT,
        version=VERSION,
        masks=json.dumps(adapter.settings),
        base_sha256=adapter.base_sha256,
        bases=json.dumps(adapter.bases),
        info=json.dumps(adapter.info),
    )
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    part = f'{path}.part'
    try:
        save_file(tensors, part, metadata)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)


def read_adapter(path: str) -> Adapter:
    """Read an adapter file and check that it is whole.

    Args:
        path (str): The file.

    Returns:
        Adapter: On the CPU.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is truncated, or no adapter file, or of a newer
            version; the message names the file.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'there is no adapter file at {path!r}')
    library = _safetensors()
    try:
        with library.safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except Exception as error:
        raise ValueError(
            f'{path!r} is truncated or no safetensors file: {error}'
        ) from error
    if metadata.get('format') != FORMAT:
        raise ValueError(
            f'{path!r} is no adapter file: its format is '
            f'{metadata.get("format")!r}, not {FORMAT!r}'
        )
    if metadata.get('version') != VERSION:
        raise ValueError(
            f'{path!r} has the version {metadata.get("version")!r}, but this '
            f'mask_plugins reads {VERSION!r}: update it'
        )
    masks = _under(tensors, 'masks/')
    try:
        settings = json.loads(metadata['masks'])
        bases = json.loads(metadata['bases'])
        if not set(masks) == set(settings) == set(bases):
            raise ValueError('their names differ')
        for name in masks:
            _check_settings(settings[name], masks[name])
        return Adapter(
            masks,
            settings,
            _under(tensors, 'state/'),
            metadata['base_sha256'],
            bases,
            json.loads(metadata.get('info', '{}')),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path!r} is damaged: its masks and their settings do not fit '
            f'({error!r})'
        ) from error


def _check_settings(settings: Dict[str, Any], packed: Tensor) -> None:
    for name, kind in _SETTINGS.items():
        if not isinstance(settings[name], kind):
            raise ValueError(f'{name}={settings[name]!r}')
    if settings['kind'] not in KINDS:
        raise ValueError(f'kind={settings["kind"]!r}')
    size = 1
    for length in settings['shape']:
        size *= length
    if packed.numel() != -(-size // 8) or packed.dtype != torch.uint8:
        raise ValueError(f'{packed.numel()} bytes for {settings["shape"]}')


def _under(tensors: Dict[str, Tensor], prefix: str) -> Dict[str, Tensor]:
    return {
        k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)
    }


def _safetensors():
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            "adapter files need safetensors: pip install 'safetensors>=0.4'"
        ) from error
    return safetensors
