# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Ordered rules that say what becomes of each parameter."""

import difflib
import re
from fnmatch import fnmatchcase
from typing import (
    Any,
    Callable,
    Dict,
    List,
    NamedTuple,
    Sequence,
    Union,
)

from torch import Tensor, nn

from .weights.weight_mask import WeightMask

ACTIONS = ('mask', 'train', 'freeze')

Pattern = Union[str, Callable[[str, Tensor], bool]]
RuleLike = Union['Rule', dict, Sequence]


class Rule(NamedTuple):
    """What becomes of the parameters that a pattern matches.

    Args:
        pattern (str | Callable): A shell pattern of the full name such as
            ``'layer*.conv*.weight'`` (``*`` matches dots too);
            ``'re:...'``, a regular expression of the full name;
            ``'type:Conv*.weight'``, a shell pattern of a class (or one of
            its bases) and of the name that its parameter has there; or a
            function of name and parameter.
        action (str): ``'mask'``, ``'train'`` or ``'freeze'``.
        options (dict): For ``'mask'``, arguments of this mask that differ.
    """

    pattern: Pattern
    action: str
    options: Dict[str, Any]

    def __str__(self) -> str:
        name = getattr(self.pattern, '__name__', None)
        return name or str(self.pattern)


def parse_rules(rules: Sequence[RuleLike]) -> List[Rule]:
    """Rules from tuples ``(pattern, action[, options])`` or dicts.

    Args:
        rules (Sequence): A dict has ``pattern``, ``action`` and any options.

    Raises:
        TypeError: If a rule is none of these.
        ValueError: If the action is unknown, or options do not belong there.
    """
    if isinstance(rules, (str, dict)) or not isinstance(rules, Sequence):
        raise TypeError(
            'rules must be a list of (pattern, action) or of dicts, got '
            f'{rules!r}'
        )
    if not rules:
        raise ValueError(
            'rules must have at least one rule, got an empty list'
        )
    return [_parse(rule) for rule in rules]


def _parse(rule: RuleLike) -> Rule:
    if isinstance(rule, dict):
        options = dict(rule)
        pattern, action = (
            options.pop('pattern', None),
            options.pop('action', None),
        )
    elif isinstance(rule, (tuple, list)) and len(rule) in (2, 3):
        pattern, action = rule[0], rule[1]
        options = dict(rule[2]) if len(rule) == 3 else {}
    else:
        raise TypeError(
            'a rule must be (pattern, action), (pattern, action, options) or '
            f'dict(pattern=..., action=...), got {rule!r}'
        )
    if not (isinstance(pattern, str) and pattern) and not callable(pattern):
        raise TypeError(
            f'the pattern of a rule must be a str or a function, got {rule!r}'
        )
    if action not in ACTIONS:
        raise ValueError(
            f'the action of a rule must be one of {ACTIONS}, got {action!r} '
            f'in {rule!r}'
        )
    if options and action != 'mask':
        raise ValueError(
            f"only a rule with action 'mask' has options, got {options} in "
            f'{rule!r}'
        )
    return Rule(pattern, action, options)


def match_rules(model: nn.Module, rules: Sequence[Rule]) -> Dict[str, Rule]:
    """The first matching rule of each parameter.

    Args:
        model (nn.Module): The model.
        rules (Sequence[Rule]): In order.

    Returns:
        dict[str, Rule]: Name of the parameter -> its rule. Names of tied
        parameters are all there; names that no rule matches are not.

    Raises:
        ValueError: If a rule matches nothing, or tied names have different
            rules.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    parameters = {
        name: parameter
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if not isinstance(modules[name.rpartition('.')[0]], WeightMask)
    }
    found: Dict[str, Rule] = {}
    used = set()
    for name, parameter in parameters.items():
        owner, _, leaf = name.rpartition('.')
        for index, rule in enumerate(rules):
            if _matches(rule.pattern, name, parameter, modules[owner], leaf):
                used.add(index)
                found.setdefault(name, rule)
    for index, rule in enumerate(rules):
        if index not in used:
            raise ValueError(_nothing(rule, list(parameters), modules))
    _check_tied(parameters, found)
    return found


def _matches(pattern, name, parameter, owner, leaf) -> bool:
    if callable(pattern):
        return bool(pattern(name, parameter))
    if pattern.startswith('re:'):
        return re.fullmatch(pattern[3:], name) is not None
    if pattern.startswith('type:'):
        kind, _, wanted = pattern[5:].partition('.')
        return fnmatchcase(leaf, wanted or '*') and any(
            fnmatchcase(base.__name__, kind) for base in type(owner).__mro__
        )
    return fnmatchcase(name, pattern)


def _nothing(rule: Rule, names: List[str], modules: Dict[str, Any]) -> str:
    if isinstance(rule.pattern, str) and rule.pattern.startswith('type:'):
        kinds = sorted({type(module).__name__ for module in modules.values()})
        return f'the rule {rule} matches no parameter; classes: {kinds}'
    plain = re.sub(r'^re:|[*?\\\[\]()^$]', '', str(rule))
    near = difflib.get_close_matches(plain, names, n=5, cutoff=0.3)
    listed = near or names[:5]
    return (
        f'the rule {rule} matches no parameter; near names: '
        f'{", ".join(listed)} ({len(names)} in all)'
    )


def _check_tied(parameters: Dict[str, Tensor], found: Dict[str, Rule]) -> None:
    first: Dict[int, str] = {}
    for name, parameter in parameters.items():
        other = first.setdefault(id(parameter), name)
        fates = [found[n][1:] if n in found else None for n in (other, name)]
        if fates[0] != fates[1]:
            said = ' and '.join(str(found.get(n)) for n in (other, name))
            raise ValueError(
                f'{other} and {name} are one tied parameter, but their rules '
                f'({said}) differ: match both names alike'
            )
