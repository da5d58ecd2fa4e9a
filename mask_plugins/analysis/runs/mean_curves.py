# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Curves of several runs as their mean and spread."""

from typing import Any, Dict, List

import numpy as np

from .run_comparison import Run


def mean_curves(
    groups: Dict[str, List[Run]], key: str
) -> List[Dict[str, Any]]:
    """A metric's mean over each group's runs, at the epochs all of them have.

    Returns:
        list[dict]: What ``draw_curves`` takes; ``spread`` is one standard
        deviation. Groups without the metric are left out.

    Examples:
        >>> import pathlib, tempfile
        >>> from mask_plugins.analysis.runs.run_comparison import read_run
        >>> folder = tempfile.TemporaryDirectory()
        >>> line = '{"epoch": 0, "time": 0.5, "loss": 2, "acc1": 90}'
        >>> log = pathlib.Path(folder.name, 'train_log.json')
        >>> _ = log.write_text(line)
        >>> mean_curves(dict(a=[read_run(folder.name)]), 'acc1')[0]['value']
        array([90.])
    """
    curves = []
    for name, runs in groups.items():
        series = []
        for run in runs:
            epoch, hours, value = run.log.series(key)
            pairs = zip(value, hours)
            series.append(dict(zip(epoch.round(6).tolist(), pairs)))
        common = sorted(set(series[0]).intersection(*series[1:]))
        if not common:
            continue
        table = np.array([[one[epoch] for epoch in common] for one in series])
        curve = dict(
            name=f'{name} (n = {len(runs)})',
            epoch=common,
            value=table[:, :, 0].mean(0),
            hours=table[:, :, 1].mean(0),
        )
        if len(runs) > 1:
            curve['spread'] = table[:, :, 0].std(0, ddof=1)
        curves.append(curve)
    return curves
