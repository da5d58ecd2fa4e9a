# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which columns a comparison has by default."""

from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from .run_comparison import Metric, Run

# In addition to the accuracy: what feature metrics, LinearProbeHook and
# RankMeHook log.
FEATURES = ('rankme/rank', 'rank', 'probe/top1', 'knn/top1')
RANKS = ('rankme/rank', 'rank')
OTHER_SET = '/accuracy/top1'


def default_metrics(runs: Sequence[Run]) -> List[Metric]:
    """Accuracy, then rank, probe, k-NN and other test sets, where logged.

    The rank of training batches is left out where there is that of a data
    set, with which it cannot be compared.

    Examples:
        >>> default_metrics([])
        [Metric(key='acc1', best='max')]
    """
    known = dict.fromkeys(key for run in runs for key in run.log.keys)
    found = [key for key in FEATURES if key in known]
    if 'rankme/rank' in found and 'rank' in found:
        found.remove('rank')
    # cifar10_1/accuracy/top1, but not accuracy/top1, which is acc1.
    found += [key for key in known if key.endswith(OTHER_SET)]
    return [Metric('acc1'), *map(Metric, found)]


def rank_metric(metrics: Sequence[Metric]) -> Optional[Metric]:
    """The one of these that is a rank, if there is one.

    Examples:
        >>> rank_metric([Metric('acc1'), Metric('rankme/rank')]).key
        'rankme/rank'
    """
    keys = {metric.key: metric for metric in metrics}
    return next((keys[key] for key in RANKS if key in keys), None)


def accuracy_and_rank(
    rows: Sequence[Dict[str, Any]], accuracy: str, rank: str
) -> List[Dict[str, Any]]:
    """Final values of both per run, for those runs that have both.

    Args:
        rows (Sequence[dict]): Of ``summarize``.
        accuracy (str): Key of the accuracy.
        rank (str): Key of the rank.

    Returns:
        list[dict]: ``name``, and arrays ``rank`` and ``accuracy`` of each
        group that has any.

    Examples:
        >>> columns = {'acc1 final': dict(values=[90.0]),
        ...            'rank final': dict(values=[12.0])}
        >>> rows = [dict(name='a', columns=columns)]
        >>> accuracy_and_rank(rows, 'acc1', 'rank')[0]['rank']
        array([12.])
    """
    groups = []
    for row in rows:
        pairs = zip(
            row['columns'][f'{rank} final']['values'],
            row['columns'][f'{accuracy} final']['values'],
        )
        known = np.array([pair for pair in pairs if None not in pair])
        if len(known):
            groups.append(
                dict(name=row['name'], rank=known[:, 0], accuracy=known[:, 1])
            )
    return groups
