# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The config of a masked training without the masks."""

import os.path as osp
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from mmengine.config import Config, ConfigDict
from torch import Tensor

from mask_plugins.core.weights import MaskReport
from mask_plugins.models.converters import write_checkpoint
from mask_plugins.utils.files import write_atomically, write_json
from mask_plugins.version import __version__

from .stock_heads import MASKED_HEADS, stock_head_config

PREFIX = 'mask_plugins.'
# What a test needs; the rest of a config is about training.
KEPT = (
    'default_scope', 'custom_imports', 'model', 'data_preprocessor',
    'val_dataloader', 'val_evaluator', 'val_cfg', 'test_dataloader',
    'test_evaluator', 'test_cfg', 'tta_model', 'tta_pipeline',
    'default_hooks', 'env_cfg', 'vis_backends', 'visualizer',
    'log_processor', 'log_level', 'randomness',
)  # fmt: skip
_SOFT = ('mask_init', 'ticket_scale')
_TEACHING = (
    'teacher', 'scope', 'kd_loss', 'loss_weight', 'kd_softmax',
    'detach_target',
)  # fmt: skip
# Of a type: what it becomes, and arguments that go.
_REPLACED = dict(
    TextPrototypeClsHead=('mask_plugins.TextPrototypeClsHead', ('mask',)),
    ReferenceClassifier=('ImageClassifier', _TEACHING),
    SoftMaskConv2d=('Conv2d', _SOFT),
    SoftMaskLinear=('torch.nn.Linear', _SOFT),
    SafeCheckpointHook=('CheckpointHook', ()),
)
# Become their module.
_WRAPPERS = (
    'MaskedModel',
    'build_masked_model',
    'DistilledModel',
    'build_distilled_model',
)
_REMOVED = object()


class StockConfig(NamedTuple):
    """A config that names nothing of masks.

    Args:
        cfg (Config): Model, test set and what a test needs next to them.
        needs (list[str]): What in it is of this package nevertheless, such
            as a data set: ``path: type``. Without it, stock mmpretrain runs
            the config.
    """

    cfg: Config
    needs: List[str]

    @property
    def text(self) -> str:
        """The content of a config file."""
        lines = [
            f'# A test config without masks, by mask_plugins {__version__}'
        ]
        if self.needs:
            lines.append('# It still needs mask_plugins, for')
        lines += [f'#   {need}' for need in self.needs]
        return '\n'.join(lines) + '\n' + self.cfg.pretty_text


class StockCheckpoint(NamedTuple):
    """A stock checkpoint, not yet written.

    Args:
        state_dict (dict[str, Tensor]): Of the stock model.
        dataset_meta (dict): Names of the classes, where they are known.
        stock (StockConfig): The config that it fits.
        report (dict): Plain values.
        masks (MaskReport, optional): What the masks kept.
    """

    state_dict: Dict[str, Tensor]
    dataset_meta: Dict[str, Any]
    stock: StockConfig
    report: Dict[str, Any]
    masks: Optional[MaskReport] = None

    def write(self, path: str, source: Dict[str, Any]) -> List[str]:
        """Write it, its config and a report, next to each other.

        Args:
            path (str): The checkpoint, ``.pth`` or ``.safetensors``.
            source (dict): Where it comes from, plain values.

        Returns:
            list[str]: What was written.
        """
        stem = osp.splitext(path)[0]
        meta = dict(mask_plugins=source)
        if self.dataset_meta:
            meta['dataset_meta'] = self.dataset_meta
        write_checkpoint(path, self.state_dict, meta)
        report = dict(source, needs_mask_plugins=self.stock.needs)
        return [
            path,
            write_atomically(f'{stem}.py', self.stock.text),
            write_json(f'{stem}.json', {**report, **self.report}),
        ]


def stock_config(cfg: Config) -> StockConfig:
    """Take the masks, and what trains them, out of a config.

    ``mask_plugins.MaskedModel`` becomes its module, a layer with soft masks
    the layer of torch, a masked head the linear one of mmpretrain,
    ``mask_plugins.ReferenceClassifier`` and
    ``mask_plugins.DistilledModel`` their student; hooks and
    metrics of this package go, and so does all that is about training. A
    config without masks is only cut to what a test needs.

    Args:
        cfg (Config): The whole config. Not changed.

    Returns:
        StockConfig: For the checkpoints of merged models.

    Examples:
        >>> cfg = Config(dict(model=dict(
        ...     type='mask_plugins.MaskedModel', module=dict(type='ResNet'))))
        >>> stock_config(cfg).cfg.model
        {'type': 'ResNet'}
    """
    kept = {key: cfg[key] for key in KEPT if cfg.get(key) is not None}
    if cfg.get('default_scope') == 'mmseg' and 'test_pipeline' in cfg:
        kept['test_pipeline'] = cfg.test_pipeline  # for mmseg.apis
    kept['default_hooks'] = {
        name: hook
        for name, hook in kept.get('default_hooks', {}).items()
        if own_type(hook) in (None, 'SafeCheckpointHook')
    }
    imports = kept.get('custom_imports')
    if imports is not None:
        names = imports.get('imports', ())
        names = [n for n in names if not f'{n}.'.startswith(PREFIX)]
        kept['custom_imports'] = dict(imports, imports=names)
    kept = _strip(kept)
    return StockConfig(Config(kept), _needs(kept, ()))


def _strip(node: Any) -> Any:
    """The same tree, plain, without what is about masks."""
    if isinstance(node, (list, tuple)):
        items = [_strip(item) for item in node]
        return type(node)(x for x in items if x is not _REMOVED)
    if not isinstance(node, dict):
        return node
    kind = own_type(node)
    if kind in _WRAPPERS:
        inner = ConfigDict(node['module'])
        if node.get('data_preprocessor') is not None:
            inner.setdefault('data_preprocessor', node['data_preprocessor'])
        return _strip(inner)
    if kind == 'MaskedFeatureHead':
        return _strip(node['head'])
    if kind in ('MaskDensity', 'SeedSample'):
        return _REMOVED
    items = {key: _strip(value) for key, value in node.items()}
    items = {k: v for k, v in items.items() if v is not _REMOVED}
    if kind in MASKED_HEADS:
        return stock_head_config(items)
    if 'type' in items:
        same = (_type_name(items['type']), ())
        items['type'], dropped = _REPLACED.get(kind, same)
        items = {k: v for k, v in items.items() if k not in dropped}
    return items


def _needs(node: Any, path: Tuple[str, ...]) -> List[str]:
    """``path: type`` of all that is left of this package."""
    if isinstance(node, (list, tuple)):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return []
    own = own_type(node)
    found = [f'{".".join(path)}: {PREFIX}{own}'] if own else []
    for key, value in node.items():
        found += _needs(value, (*path, str(key)))
    return found


def own_type(node: Any) -> Any:
    """Name of the type of a config, if it is of this package."""
    kind = node.get('type') if isinstance(node, dict) else None
    if kind is None or not _type_name(kind).startswith(PREFIX):
        return None
    return _type_name(kind).rpartition('.')[2]


def _type_name(kind: Any) -> str:
    """A name as it is; a class (in configs of the new style) by its path."""
    if isinstance(kind, str):
        return kind
    return f'{kind.__module__}.{kind.__qualname__}'
