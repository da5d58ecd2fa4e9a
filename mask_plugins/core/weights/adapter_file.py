# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Adapter files: the masks of a task, and what else the task needs.

Layout (safetensors): for each masked parameter a tensor ``masks/<name>``,
uint8, one bit per weight as ``numpy.packbits`` orders them in C order; for
each buffer (norm statistics) and each trained parameter that has no mask (the
head) a tensor ``state/<key>``, in its own dtype or a smaller float, which
loading converts to that of the model. Metadata, all text: ``format``,
``version``, ``masks`` (JSON: name -> shape, dtype of the weight, kind, factor,
scale, chunks), ``base_sha256`` of all that the file does not hold, ``bases``
(JSON: name -> begin of the SHA-256 of the masked weight), ``info`` (JSON: what
the writer added), and ``sha256`` of all of these and of the tensors.
"""

import json
import os
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Union

from torch import Tensor, nn

from mask_plugins.utils.checks import check_type
from mask_plugins.utils.safetensors_file import (
    read_safetensors,
    write_safetensors,
)

from .adapter_content import (
    base_hash,
    check_packed,
    content_hash,
    copy_state,
    dtype_name,
    pack_bits,
    tensor_hash,
)
from .binary_mask import check_settings
from .named_masks import (
    base_state,
    check_values,
    clean_name,
    named_masks,
    named_tensors,
)

FORMAT = 'mask_plugins.masks'
VERSION = '1'
PathLike = Union[str, os.PathLike]


@dataclass(frozen=True)
class Adapter:
    """The content of an adapter file.

    Args:
        masks (dict[str, Tensor]): Name of the parameter -> packed bits.
        settings (dict[str, dict]): Name -> ``shape`` and ``dtype`` of the
            weight, and the arguments ``kind``, ``factor``, ``scale`` and
            ``chunks`` of :class:`BinaryMask`.
        state (dict[str, Tensor]): Key of the state dict -> value.
        base_sha256 (str): Of the weights that the masks belong to.
        bases (dict[str, str]): Name -> hash of the masked weight alone, for
            where only some masks are taken.
        info (dict): Plain values that the writer added.

    Examples:
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> adapter = pack_masks(SoftMaskLinear(8, 2))
        >>> sorted(adapter.masks), sorted(adapter.state)
        (['weight'], ['bias'])
        >>> adapter.mask_bytes
        2
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

    def __repr__(self) -> str:
        return (
            f'Adapter({len(self.masks)} masks of {self.mask_bytes:,} bytes, '
            f'{len(self.state)} other tensors of {self.state_bytes:,} bytes)'
        )

    def check(self) -> 'Adapter':
        """The adapter itself, if its parts fit each other.

        Raises:
            ValueError: If names, settings, bits or state make no sense.
        """
        if not set(self.masks) == set(self.settings) == set(self.bases):
            raise ValueError('masks, settings and hashes have other names')
        for name, packed in self.masks.items():
            settings = self.settings[name]
            try:
                check_settings(settings)
                check_packed(packed, settings['shape'])
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f'{name}: {error}') from error
        for key, value in self.state.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise ValueError(f'{key} has NaN or infinite values')
            if key.endswith('running_var') and (value < 0).any():
                raise ValueError(f'{key} has negative values')
        return self


def pack_masks(
    model: nn.Module,
    path: Optional[PathLike] = None,
    info: Optional[Dict[str, Any]] = None,
    state_dtype: Optional[str] = None,
) -> Adapter:
    """Make the adapter of a masked model, and write it to a file.

    Soft masks are packed as their ticket. The file appears whole or not at
    all.

    Args:
        model (nn.Module): With masks.
        path (str | PathLike, optional): Where to write, ``*.safetensors``.
            Defaults to None: nowhere.
        info (dict, optional): Plain values to keep. Defaults to None.
        state_dtype (str, optional): ``'float16'`` or ``'bfloat16'`` halves
            what is kept next to the masks (statistics of norms, the head)
            and rounds it. Defaults to None: as it is.

    Returns:
        Adapter: What was written.

    Raises:
        TypeError: If ``info`` is no dict, or has a key that is no text, as
            in a file all are.
        ValueError: If the model has no masks, some logits or scores are
            NaN, tensors are on the meta device, or ``state_dtype`` is unknown
            or has no such large numbers.

    Examples:
        >>> from mask_plugins.core.weights import ScoreMask, apply_weight_masks
        >>> net = nn.Linear(8, 2)
        >>> net = apply_weight_masks(net, [('weight', 'mask')], ScoreMask)
        >>> pack_masks(net)
        Adapter(1 masks of 2 bytes, 1 other tensors of 8 bytes)
    """
    items = list(named_masks(model))
    if not items:
        raise ValueError('pack_masks: the model has no masks')
    if info is not None:
        _check_info('info', info)
    check_values(model, 'pack_masks')
    broken = [item.name for item in items if not item.mask.finite()]
    if broken:
        raise ValueError(
            f'pack_masks: logits or scores of {broken} are NaN or infinite; '
            'the training has diverged'
        )
    state = task_state(model)
    adapter = Adapter(
        {item.name: pack_bits(item.mask.hard()) for item in items},
        {
            item.name: dict(
                shape=list(item.parameter.shape),
                dtype=dtype_name(item.parameter),
                **item.mask.settings(),
            )
            for item in items
        },
        copy_state(state, state_dtype),
        base_hash(base_state(model), state),
        {item.name: tensor_hash(item.parameter) for item in items},
        dict(info or {}),
    )
    if path is not None:
        write_adapter(adapter, path)
    return adapter


def _check_info(name: str, value: Any) -> None:
    check_type(name, value, dict, 'a dict')
    for key, part in value.items():
        check_type(f'a key of {name}', key, str, 'a text')
        if isinstance(part, dict) and part is not value:
            _check_info(f'{name}[{key!r}]', part)


def task_state(model: nn.Module) -> Dict[str, Tensor]:
    """Buffers, and trained parameters without a mask, by their key.

    Args:
        model (nn.Module): Any module; what belongs to its masks is left out.

    Returns:
        dict[str, Tensor]: Not copied.
    """
    masked = {id(item.parameter) for item in named_masks(model)}
    kept = {
        name
        for name, parameter in named_tensors(model).items()
        if id(parameter) in masked or not parameter.requires_grad
    }
    return {k: v for k, v in base_state(model).items() if k not in kept}


def write_adapter(adapter: Adapter, path: PathLike) -> None:
    """Write an adapter file; it appears whole or not at all.

    Args:
        adapter (Adapter): What to write.
        path (str | PathLike): The file.

    Raises:
        TypeError: If ``info`` has something that JSON does not.
        ValueError: If the parts of the adapter do not fit each other.

    Examples:
        >>> import os
        >>> import tempfile
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> adapter = pack_masks(SoftMaskLinear(8, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, 'task.safetensors')
        ...     write_adapter(adapter, path)
        ...     read_adapter(path)
        Adapter(1 masks of 2 bytes, 1 other tensors of 8 bytes)
    """
    adapter.check()
    tensors = {
        **{f'masks/{k}': v for k, v in adapter.masks.items()},
        **{f'state/{k}': v for k, v in adapter.state.items()},
    }
    metadata = dict(
        format=FORMAT,
        version=VERSION,
        masks=json.dumps(adapter.settings),
        base_sha256=adapter.base_sha256,
        bases=json.dumps(adapter.bases),
        info=json.dumps(adapter.info),
    )
    metadata['sha256'] = content_hash(tensors, metadata)
    write_safetensors(path, tensors, metadata)


def read_adapter(path: PathLike) -> Adapter:
    """Read an adapter file and check that it is whole and unchanged.

    Args:
        path (str | PathLike): The file.

    Returns:
        Adapter: On the CPU.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is truncated, damaged, not an adapter file, or of a
            newer version; the message names the file.

    Examples:
        >>> import os
        >>> import tempfile
        >>> from mask_plugins.core.weights import SoftMaskLinear
        >>> adapter = pack_masks(SoftMaskLinear(8, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, 'task.safetensors')
        ...     write_adapter(adapter, path)
        ...     read_adapter(path)
        Adapter(1 masks of 2 bytes, 1 other tensors of 8 bytes)
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'Adapter file not found: {path!r}')
    tensors, metadata = read_safetensors(path)
    kind, version, sha256 = map(metadata.get, ('format', 'version', 'sha256'))
    fault = ''
    if kind != FORMAT:
        fault = f'is not an adapter file: its format is {kind!r}'
    elif version != VERSION:
        fault = f'has the version {version!r}, newer than this: update it'
    elif sha256 is None:
        fault = 'has no checksum; pack it again with pack_masks'
    elif sha256 != content_hash(tensors, metadata):
        fault = 'is damaged: its content has another checksum'
    if fault:
        raise ValueError(f'{path!r} {fault}')
    try:
        return _parse(tensors, metadata).check()
    except Exception as error:  # whatever it is, the file is at fault
        raise ValueError(f'{path!r} is damaged: {error!r}') from error


def _parse(tensors: Dict[str, Tensor], metadata: Dict[str, str]) -> Adapter:
    settings, bases, info = (
        json.loads(metadata[key]) for key in ('masks', 'bases', 'info')
    )
    parts = dict(masks={}, state={})
    for key, value in tensors.items():
        kind, _, name = key.partition('/')
        parts[kind][name] = value
    names = [*parts['masks'], *parts['state']]
    wrapped = all(name.startswith('module.') for name in names)
    start = len('module.') * wrapped
    parts.update(settings=settings, bases=bases)
    clean = {
        part: {clean_name(name)[start:]: x for name, x in found.items()}
        for part, found in parts.items()
    }
    return Adapter(base_sha256=metadata['base_sha256'], info=info, **clean)
