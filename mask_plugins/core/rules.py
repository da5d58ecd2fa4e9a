# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Ordered rules: the first whose pattern matches decides."""

import difflib
import re
from fnmatch import fnmatchcase
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Union

from torch import Tensor, nn

from mask_plugins.utils.checks import check_choice, check_type
from mask_plugins.utils.first_few import first_few

ACTIONS = ('mask', 'train', 'freeze')

Pattern = Union[str, Callable[[str, Any], bool]]
RuleLike = Union['Rule', dict, Sequence]


class Rule(NamedTuple):
    """What becomes of whatever a pattern matches.

    Args:
        pattern (str | Callable): A shell pattern of the full name such as
            ``'layer*.conv*.weight'`` (``*`` matches dots too);
            ``'re:...'``, a regular expression of the full name;
            ``'type:Conv*.weight'``, a shell pattern of a class (or one of
            its bases) and of the name that its parameter has there; or a
            function of name and parameter.
        action (str): For weights ``'mask'``, ``'train'`` or ``'freeze'``.
        options (dict): Arguments of this mask that differ from the others.

    Examples:
        >>> rule = Rule('layer*.weight', 'mask', dict(factor=2.0))
        >>> print(rule)
        layer*.weight
    """

    pattern: Pattern
    action: str
    options: Dict[str, Any]

    def __str__(self) -> str:
        name = getattr(self.pattern, '__name__', None)
        return name or str(self.pattern)


def parse_rules(
    rules: Sequence[RuleLike], actions: Sequence[str] = ACTIONS
) -> List[Rule]:
    """Rules from tuples ``(pattern, action[, options])`` or dicts.

    Args:
        rules (Sequence): A dict has ``pattern``, ``action`` and any options.
        actions (Sequence[str]): What is allowed; the first may have options.
            Defaults to those of weights.

    Returns:
        list[Rule]: In order.

    Raises:
        TypeError: If ``rules`` is not a list, or a rule is neither a tuple
            nor a dict, or its pattern neither a str nor a function.
        ValueError: If there is no rule, an action is unknown, or one that is
            not the first has options.

    Examples:
        >>> rules = [('conv*', 'mask'), dict(pattern='*', action='freeze')]
        >>> [str(rule) for rule in parse_rules(rules)]
        ['conv*', '*']
    """
    allowed = 'a list of (pattern, action) or of dicts'
    check_type('rules', rules, (list, tuple), allowed)
    if not rules:
        raise ValueError(f'rules must have at least one rule, got {rules!r}')
    return [_parse(rule, actions) for rule in rules]


def _parse(rule: RuleLike, actions: Sequence[str]) -> Rule:
    if isinstance(rule, dict):
        options = dict(rule)
        pattern, action = (options.pop(k, None) for k in ('pattern', 'action'))
    elif isinstance(rule, (tuple, list)) and len(rule) in (2, 3):
        pattern, action, options = (*rule, {})[:3]
    else:
        raise TypeError(
            'a rule must be (pattern, action), (pattern, action, options) or '
            f'dict(pattern=..., action=...), got {rule!r}'
        )
    if not (isinstance(pattern, str) and pattern):
        check_type(
            'the pattern of a rule', pattern, Callable, 'a str or a function'
        )
    check_choice(f'the action of the rule {rule!r}', action, actions)
    if options and action != actions[0]:
        raise ValueError(
            f'only a rule with action {actions[0]!r} has options, got '
            f'{options} in {rule!r}'
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

    Examples:
        >>> rules = parse_rules([('*bias', 'train'), ('*', 'mask')])
        >>> found = match_rules(nn.Linear(2, 3), rules)
        >>> found['weight'].action, found['bias'].action
        ('mask', 'train')
    """
    from .weights.weight_mask import WeightMask  # which imports these rules

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
            if matches(rule.pattern, name, parameter, modules[owner], leaf):
                used.add(index)
                found.setdefault(name, rule)
    for index, rule in enumerate(rules):
        if index not in used:
            raise ValueError(_nothing(rule, list(parameters), modules))
    _check_tied(parameters, found)
    return found


def matches(pattern: Pattern, name: str, item, owner, leaf: str = '') -> bool:
    """Whether it is the pattern of a parameter of ``owner``, or module."""
    if callable(pattern):
        return bool(pattern(name, item))
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
    near = difflib.get_close_matches(plain, names, n=4, cutoff=0.3) or names
    listed = f'{first_few(near)} ({len(names)} in all)'
    return f'the rule {rule} matches no parameter; near names: {listed}'


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
