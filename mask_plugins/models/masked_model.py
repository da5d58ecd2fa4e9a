# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Mask the weights of any registered model."""

import functools
import logging
from typing import Any, Dict, Optional, Sequence, Union

from mmengine.logging import MMLogger
from torch import nn

from mask_plugins.core.rules import RuleLike
from mask_plugins.core.weights import ScoreMask, SoftMask, apply_weight_masks
from mask_plugins.core.weights.use_check import find_use_check
from mask_plugins.models.build_module import build_module
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_choice

MODELS.register_module(module=SoftMask)
MODELS.register_module(module=ScoreMask)

_NO_MASKS = 'The checkpoint has no masks: they keep their initial values'
LAYER_WEIGHTS = (
    ('type:_ConvNd.weight', 'mask'),
    ('type:Linear.weight', 'mask'),
)


@MODELS.register_module(name='MaskedModel')
def build_masked_model(
    module: Union[dict, nn.Module],
    mask: Dict[str, Any],
    rules: Optional[Sequence[RuleLike]] = None,
    data_preprocessor: Optional[dict] = None,
    unused: str = 'error',
) -> nn.Module:
    """Build a backbone, neck, head or whole model with masked weights.

    In a config: ``backbone=dict(type='mask_plugins.MaskedModel',
    module=dict(type='ResNet', depth=18), rules=[('*conv*', 'mask'),
    ('*', 'freeze')], mask=dict(type='mask_plugins.ScoreMask'))``. State-dict
    keys of the base stay the stock ones, so ``init_cfg``, ``load_from`` and
    checkpoints of the stock model work; masks are extra keys next to them.

    Args:
        module (dict | nn.Module): Config of any model of any OpenMMLab
            project.
        mask (dict): Config of a mask: ``mask_plugins.SoftMask`` or
            ``mask_plugins.ScoreMask``, without the weight.
        rules (Sequence, optional): What is masked, trained and frozen; see
            :func:`mask_plugins.core.weights.apply_weight_masks`. Defaults to
            None: all weights of convolutions and linear layers are masked.
        data_preprocessor (dict, optional): The runner adds it for a whole
            model; passed on.
        unused (str): What a mask is that the first forward of the training,
            or the first of an evaluation, does not read: an ``'error'``, or
            a ``'warning'`` for layers that are off on purpose. With
            :class:`MaskReportHook`, its option holds. Defaults to
            ``'error'``.

    Returns:
        nn.Module: The model itself, not a wrapper around it.

    Raises:
        TypeError: If a rule or ``mask`` has another form.
        ValueError: If a rule matches nothing, or ``unused`` is unknown.
        RuntimeError: In the first forward, if a mask is not used.

    Examples:
        >>> from torch import nn
        >>> net = build_masked_model(
        ...     nn.Linear(2, 3), dict(type='mask_plugins.ScoreMask'))
        >>> net.weight_mask
        ScoreMask(3x2, threshold, 0)
    """
    check_choice('unused', unused, ('error', 'warning'))
    logger = MMLogger.get_current_instance()
    if _expect_masks not in logger.filters:
        logger.addFilter(_expect_masks)
    module = build_module(module, data_preprocessor)
    if rules is None:
        rules = _present(module)
    model = apply_weight_masks(module, rules, mask_factory(mask))
    if check := find_use_check(model):  # rules may mask nothing
        check.unused = unused
    return model


def mask_factory(mask: Dict[str, Any]):
    """From the config of a mask to what makes one of a weight.

    Args:
        mask (dict): ``type`` and arguments.

    Raises:
        TypeError: If it is not a dict with a ``type``.
        KeyError: If there is no such mask.

    Examples:
        >>> make = mask_factory(dict(type='mask_plugins.SoftMask', init=0.1))
        >>> make(nn.Linear(2, 3).weight)
        SoftMask(3x2, init=0.1, ticket=False)
    """
    if not isinstance(mask, dict) or 'type' not in mask:
        raise TypeError(
            "mask must be a dict such as dict(type='mask_plugins.SoftMask', "
            f'init=0.), got {mask!r}'
        )
    options = dict(mask)
    kind = options.pop('type')
    cls = MODELS.get(kind) if isinstance(kind, str) else kind
    if cls is None:
        raise KeyError(
            f'mask: there is no {kind!r}; use mask_plugins.SoftMask or '
            'mask_plugins.ScoreMask'
        )
    return functools.partial(cls, **options)


def _expect_masks(record: logging.LogRecord) -> bool:
    """Say plainly what mmengine warns of: a stock checkpoint has no masks."""
    lines = [x for x in record.getMessage().splitlines() if x.strip()]
    start = 'missing keys in source state_dict: '
    if len(lines) == 2 and lines[1].startswith(start):
        keys = lines[1][len(start) :].split(', ')
        if all('_mask.' in key for key in keys):
            record.levelno, record.levelname = logging.INFO, 'INFO'
            record.msg, record.args = _NO_MASKS, ()
    return True


def _present(module: nn.Module) -> list:
    """The default rules that match something in this module."""
    names = {base.__name__ for m in module.modules() for base in type(m).mro()}
    found = [r for r in LAYER_WEIGHTS if r[0][5:].split('.')[0] in names]
    if not found:
        raise ValueError(
            f'{type(module).__name__} has no convolution and no linear layer '
            'to mask; say what to mask by rules'
        )
    return found
