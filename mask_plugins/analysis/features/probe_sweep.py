# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Linear probes with several weights of L2, one of them chosen."""

from typing import Any, Callable, Dict, Iterable, List, Sequence

import torch

from mask_plugins.apis.features import Features
from mask_plugins.functional.linear_probe import LinearProbe
from mask_plugins.utils.checks import check_number

# One in so many training samples is held out to choose L2.
HOLD_OUT_EVERY = 10


def check_l2(l2: Sequence[float]) -> List[float]:
    """The weights, if there is one and none is negative.

    Raises:
        TypeError, ValueError: If not.
    """
    if not l2:
        raise ValueError('l2 must be one or more numbers, got none')
    return [check_number('l2', weight, 0) for weight in l2]


def sweep_l2(
    train: Features,
    test: Features,
    l2: Sequence[float],
    max_iter: int = 500,
    track: Callable[[Sequence], Iterable] = iter,
) -> List[Dict[str, Any]]:
    """Fit a probe per weight of L2.

    With several, each is first fitted without a tenth of the training set
    (a fixed, random tenth), on which the best is chosen, never on the test
    set. All numbers of a record but ``holdout_top1`` are of a probe of the
    whole training set.

    Args:
        train (Features): What is fitted.
        test (Features): What is reported.
        l2 (Sequence[float]): Weights; 0 is 0.01 / N.
        max_iter (int): Iterations of L-BFGS. Defaults to 500.
        track (Callable): Shows progress over the weights.

    Returns:
        list[dict]: Highest L2 first: ``l2``, ``train_top1``, ``holdout_top1``
        (None for a single one), ``test_top1`` in %, ``loss``, ``iterations``,
        ``converged``, and ``chosen``, true for one of them.

    Raises:
        ValueError: If there is no weight, one is negative, or the features
            are not finite.

    Examples:
        >>> rows, labels = torch.eye(2).repeat(10, 1), torch.arange(20) % 2
        >>> data = Features(rows, labels, torch.arange(20))
        >>> records = sweep_l2(data, data, [1e-3, 1e-1])
        >>> [(r['l2'], r['test_top1']) for r in records]
        [(0.1, 100.0), (0.001, 100.0)]
    """
    l2 = check_l2(l2)
    classes = 1 + int(max(train.labels.max(), test.labels.max()))
    weights = sorted({w or 0.01 / len(train.labels) for w in l2}, reverse=True)
    order = torch.randperm(
        len(train.labels), generator=torch.Generator().manual_seed(0)
    )
    held = order[::HOLD_OUT_EVERY]
    kept = torch.ones(len(order), dtype=torch.bool)
    kept[held] = False
    records = []
    for weight in track(weights):
        holdout = None
        if len(weights) > 1:
            part = LinearProbe(weight, max_iter)
            part.fit(train.values[kept], train.labels[kept], classes)
            holdout = part.accuracy(train.values[held], train.labels[held])
        whole = LinearProbe(weight, max_iter)
        whole.fit(train.values, train.labels, classes)
        records.append(
            dict(
                l2=weight,
                train_top1=whole.accuracy(train.values, train.labels),
                holdout_top1=holdout,
                test_top1=whole.accuracy(test.values, test.labels),
                loss=whole.loss,
                iterations=whole.iterations,
                converged=whole.converged,
                chosen=False,
            )
        )
    # Of equals the first, which has the highest L2.
    best = max(records, key=lambda record: record['holdout_top1'] or 0.0)
    best['chosen'] = True
    return records
