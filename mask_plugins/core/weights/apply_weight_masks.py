# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Mask the parameters of any module, and take the masks off again."""

import math
from collections import Counter
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

from torch import nn
from torch.nn.parameter import UninitializedParameter

from mask_plugins.utils.checked import checked
from mask_plugins.utils.checks import check_type

from ..rules import Rule, RuleLike, match_rules, parse_rules
from .lifecycle import TRAINED
from .masked_module import (
    attach_mask,
    check_maskable,
    masked_names,
    update_scopes,
)
from .named_masks import unwrap
from .report import text_table
from .weight_mask import WeightMask


class PlanRow(NamedTuple):
    """What becomes of one parameter.

    Args:
        name (str): Full name.
        shape (tuple[int]): Its shape.
        rule (str): The pattern that decided, '' if none.
        action (str): 'mask', 'train', 'freeze', or 'keep' if none.
        tied_to (str): The name it was met by first, '' if it is that.
    """

    name: str
    shape: Tuple[int, ...]
    rule: str
    action: str
    tied_to: str


@checked
def apply_weight_masks(
    model: nn.Module,
    rules: Sequence[RuleLike],
    mask: Callable[..., WeightMask],
    dry_run: bool = False,
) -> Any:
    """Mask, train or freeze each parameter of a model, in place.

    Masked layers keep their class ancestry, their parameters and the names of
    these: a mask is a small module next to the parameter, such as
    ``layer1.conv.weight_mask``. Tied weights get one mask. Masks exist when
    this returns, so build the optimizer afterwards. Everything is validated
    before the model is modified.

    A parameter whose mask says ``trains_weight = False`` is frozen. What no
    rule matches stays as it is.

    Args:
        model (nn.Module): Any module: Conv*, Linear, norms, attention with
            ``in_proj_weight`` or a fused qkv, ...
        rules (Sequence): Ordered ``(pattern, action)``, the first that
            matches decides; see :class:`Rule`.
        mask (Callable): Makes the mask of a parameter, as
            ``functools.partial(SoftMask, init=-0.1)``; options of a rule are
            passed to it.
        dry_run (bool): Print name, shape, rule and action of every parameter
            and change nothing. Defaults to False.

    Returns:
        nn.Module | list[PlanRow]: The model, or with ``dry_run`` the plan.

    Raises:
        TypeError: If a parameter cannot be masked.
        ValueError: If a rule matches nothing (it lists near names), or if
            something that is to be masked is masked already.

    Examples:
        >>> from mask_plugins.core.weights import ScoreMask, mask_report
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
        >>> rules = [('type:Conv2d.weight', 'mask'), ('*', 'freeze')]
        >>> net = apply_weight_masks(net, rules, ScoreMask)
        >>> [name for name, p in net.named_parameters() if p.requires_grad]
        ['0.weight_mask.scores']
        >>> mask_report(net).size
        36
    """
    root = unwrap(model)
    matched = match_rules(root, parse_rules(rules))
    rows = _plan(root, matched)
    if dry_run:
        print(format_plan(rows))
        return rows
    masks: Dict[str, WeightMask] = {}  # tied ones once
    for row in rows:
        if row.action == 'mask':
            check_maskable(root, row.name)
            if not row.tied_to:
                masks[row.name] = _build(root, row.name, matched, mask)
    trained = root.__dict__.setdefault(TRAINED, {})
    for row in rows:
        owner, _, leaf = row.name.rpartition('.')
        module = root.get_submodule(owner)
        parameter = module._parameters[leaf]
        trained.setdefault(row.name, parameter.requires_grad)
        if row.action in ('train', 'freeze'):
            parameter.requires_grad_(row.action == 'train')
        # a module may stand twice
        if row.action == 'mask' and leaf not in masked_names(module):
            found = masks[row.tied_to or row.name]
            parameter.requires_grad_(found.trains_weight)
            attach_mask(module, leaf, found)
    update_scopes(root)
    return model


def format_plan(rows: Sequence[PlanRow]) -> str:
    """The plan as a text table, with a count of each action.

    Args:
        rows (Sequence[PlanRow]): What a dry run returned.

    Examples:
        >>> from mask_plugins.core.weights import ScoreMask
        >>> rules = [('weight', 'mask')]
        >>> rows = apply_weight_masks(nn.Linear(2, 1), rules, ScoreMask, True)
        parameter  shape  rule    action
        weight     1x2    weight  mask
        bias       1      -       keep
        elements: keep 1, mask 2
    """
    lines = [('parameter', 'shape', 'rule', 'action')]
    counts: Counter = Counter()
    for row in rows:
        shape = 'x'.join(map(str, row.shape)) or 'scalar'
        tied = f' (tied to {row.tied_to})' if row.tied_to else ''
        lines.append((row.name, shape, row.rule or '-', row.action + tied))
        if not row.tied_to:
            counts[row.action] += math.prod(row.shape)
    total = ', '.join(f'{k} {v:,}' for k, v in sorted(counts.items()))
    return f'{text_table(lines)}\nelements: {total}'


def _plan(model: nn.Module, matched: Dict[str, Rule]) -> List[PlanRow]:
    first: Dict[int, str] = {}
    rows = []
    for name, parameter in model.named_parameters(remove_duplicate=False):
        owner = model.get_submodule(name.rpartition('.')[0])
        if isinstance(owner, WeightMask):
            continue
        if isinstance(parameter, UninitializedParameter):
            kind = type(owner).__name__
            raise TypeError(f'{name} has no shape yet ({kind} is lazy)')
        rule = matched.get(name)
        said = (str(rule), rule.action) if rule else ('', 'keep')
        met = first.setdefault(id(parameter), name)
        tied_to = '' if met == name else met
        rows.append(PlanRow(name, tuple(parameter.shape), *said, tied_to))
    return rows


def _build(
    model: nn.Module,
    name: str,
    matched: Dict[str, Rule],
    make: Callable[..., WeightMask],
) -> WeightMask:
    try:
        mask = make(model.get_parameter(name), **matched[name].options)
    except (TypeError, ValueError) as error:
        raise type(error)(f'the mask of {name}: {error}') from error
    allowed = 'a WeightMask, such as SoftMask or ScoreMask'
    check_type('what mask makes', mask, WeightMask, allowed)
    mask.name = name
    return mask
