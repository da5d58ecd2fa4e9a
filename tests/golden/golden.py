# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One decorator per check: its golden cases, and how each could be wrong."""

from typing import Any, Callable, Dict, Iterable, Optional

import pytest
import torch

from . import values


class Golden:
    """The checks of a module.

    ``@golden(cases, name=perturb)`` parametrizes a test over ``cases()`` and
    notes that it must fail for a case that ``perturb`` has changed, which
    ``test_table`` tries. A set of golden files without a case skips the test.
    """

    def __init__(self) -> None:
        self.perturbations: Dict[str, tuple] = {}

    def __call__(
        self,
        cases: Callable[[], Iterable],
        ids: Optional[Callable[[Any], str]] = None,
        **wrong: Callable[[Any], Any],
    ) -> Callable:
        def decorate(check: Callable) -> Callable:
            for name, perturb in wrong.items():
                self.perturbations[name] = (check, cases, perturb)
            return pytest.mark.parametrize('case', list(cases()), ids=ids)(
                check
            )

        return decorate


def need(file: str, key: str) -> Any:
    """The value of a key; skips the test where the set lacks it."""
    found = dict(values.matching(file, key))
    if key not in found:
        pytest.skip(f'{file}.json in {values.directory()} has no {key}')
    return found[key]


def tensor(value: Any) -> torch.Tensor:
    """As fp64."""
    return torch.tensor(value, dtype=torch.float64)


def close(found: Any, expected: Any, tolerance: float = 1e-10) -> None:
    """Compare in fp64."""
    torch.testing.assert_close(
        *(torch.as_tensor(x, dtype=torch.float64) for x in (found, expected)),
        rtol=tolerance,
        atol=tolerance,
        equal_nan=True,
    )
