# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One decorator per check: its golden cases, and how each could be wrong."""

import copy
import math
from typing import Any, Callable, Dict, Iterable, List, Tuple, Union

import pytest
import torch

from . import values


class Case(dict):
    """A dict of a golden file, whose missing keys skip the test."""

    def __missing__(self, key):
        pytest.skip(f'the golden files have no {key!r} here')


def wrap(value: Any) -> Any:
    """The same value with every dict in it a :class:`Case`."""
    if isinstance(value, dict):
        return Case({key: wrap(item) for key, item in value.items()})
    return [wrap(x) for x in value] if isinstance(value, list) else value


# ------------------------------------------------- from a key to its cases
def each(key: str, value: Any) -> Iterable:
    """A list is many cases, anything else is one."""
    return value if isinstance(value, list) else [value]


def keyed(key: str, value: Case) -> Iterable[Case]:
    """One case that knows its key."""
    return [Case(value, key=key)]


def named(key: str, value: Case) -> Iterable[Case]:
    """A dict of named values: ``key``, ``name`` and ``value`` of each."""
    return [Case(key=key, name=k, value=v) for k, v in value.items()]


class Golden:
    """The checks of a file of golden values.

    ``@golden(pattern, name=perturb)`` parametrizes a test over the cases of
    all keys that fit the pattern, and notes that it must fail for a case that
    ``perturb`` has changed, which ``test_table`` tries. A set of golden files
    without a case skips the test.
    """

    covered: List[Tuple[str, str]] = []
    wrong: Dict[str, Tuple[Callable, List, Callable]] = {}

    def __init__(self, file: str) -> None:
        self.file = file

    def cases(self, pattern: str, expand: Callable = each) -> List:
        found: List = []
        for key, value in values.matching(self.file, pattern):
            try:
                found.extend(expand(key, wrap(value)))
            except pytest.skip.Exception:
                found.append(Case())  # its test skips by the missing name
        return found

    def need(self, key: str) -> Any:
        """The value of a key; skips the test where the set lacks it."""
        return wrap(values.files().get(self.file, {}))[key]

    def __call__(
        self,
        pattern: str,
        ids: Union[str, Callable[[Any], str], None] = None,
        expand: Callable[[str, Any], Iterable] = each,
        **wrong: Callable[[Any], Any],
    ) -> Callable:
        cases = self.cases(pattern, expand)
        label = ids.format_map if isinstance(ids, str) else ids

        def decorate(check: Callable) -> Callable:
            self.instead(pattern)(check)
            for name, perturb in wrong.items():
                where = check.__module__.rpartition('.')[2]
                self.wrong[f'{where} {name}'] = (check, cases, perturb)
            return pytest.mark.parametrize(
                'case', cases, ids=label and (lambda c: c and label(c))
            )(check)

        return decorate

    def instead(self, pattern: str) -> Callable:
        """Mark the test of what ours does where the original has a bug."""
        self.covered.append((self.file, pattern))
        return lambda check: check


# --------------------------------------------------------------- can they fail
def changed(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function that returns a changed copy of a case."""

    def perturb(case):
        case = copy.deepcopy(case)
        change(case)
        return case

    return perturb


def bump(*path, by: float = 1, factor: float = 1) -> Callable[[Any], Any]:
    """Change the first number under these keys, by 1 if nothing is said."""

    def change(case):
        holder, place = case, path[0]
        for key in path[1:]:
            holder, place = holder[place], key
        while isinstance(holder[place], (list, dict)):
            holder = holder[place]
            place = 0 if isinstance(holder, list) else next(iter(holder))
        holder[place] = holder[place] * factor + by

    return changed(change)


# --------------------------------------------------------------------- tensors
def tensor(value: Any) -> torch.Tensor:
    """As fp64."""
    return torch.as_tensor(value, dtype=torch.float64).detach()


def wave(shape, a: float, b: float, scale: float = 1.0) -> torch.Tensor:
    """The inputs of the golden files."""
    index = torch.arange(math.prod(shape), dtype=torch.float64)
    return (scale * torch.sin(a * index + b)).view(shape)


def close(found, expected, tolerance: float = 1e-10, absolute=None) -> None:
    """Compare in fp64, in the shape of what is expected."""
    expected = tensor(expected)
    torch.testing.assert_close(
        tensor(found).reshape(expected.shape),
        expected,
        rtol=tolerance,
        atol=tolerance if absolute is None else absolute,
        equal_nan=True,
    )
