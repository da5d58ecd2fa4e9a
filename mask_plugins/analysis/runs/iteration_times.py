# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How long iterations take at each drop ratio."""

from typing import Any, Dict, List, Optional

import numpy as np

from mask_plugins.utils.checks import check_choice

from .run_log import RunLog


def epoch_times(run: RunLog, epoch: Optional[int] = None) -> Dict[str, Any]:
    """The iteration times of one epoch, outliers removed.

    Args:
        run (RunLog): The run.
        epoch (int, optional): Which epoch, from 0; None is the second, because
            the first holds the warm-up, or the first if it is the only one.
            Defaults to None.

    Returns:
        dict: What ``draw_train_times`` takes of a run. Times that are three
        standard deviations away from what is usual in their stretch of
        constant ratio (a checkpoint, a stalled loader) are left out.

    Raises:
        ValueError: If the log does not have this epoch.

    Examples:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> line = '{"epoch": 0, "time": 0.5, "loss": 2, "acc1": 90}'
        >>> log = pathlib.Path(folder.name, 'train_log.json')
        >>> _ = log.write_text(line)
        >>> epoch_times(RunLog(folder.name))['ms']
        [500.0]
    """
    epochs = run.column('epoch').astype(int)
    found = sorted(set(epochs.tolist()))
    if epoch is None:
        epoch = found[min(1, len(found) - 1)]
    check_choice(f'epoch in the log of {run.name}', epoch, found)
    inside = epochs == epoch
    ms = 1000 * run.column('time')[inside]
    drop = run.column('patch_drop_ratio')[inside]
    # Of equal ratios, NaN among them.
    edges = np.flatnonzero(np.diff(np.nan_to_num(drop, nan=-1.0))) + 1
    stretches = np.split(np.arange(len(drop)), edges)
    # The deviation is that of the whole epoch: of ten values or fewer none can
    # be three of their own standard deviations away from their mean.
    usual = np.empty_like(ms)
    for stretch in stretches:
        usual[stretch] = np.sort(ms[stretch])[(len(stretch) - 1) // 2]
    inlier = _inliers(ms - usual)
    segments = []
    for stretch in stretches:
        good = stretch[inlier[stretch]]  # the usual one at least
        ratio = float(drop[stretch[0]])
        segments.append(
            dict(
                first=int(stretch[0]),
                last=int(stretch[-1]),
                drop_ratio=None if np.isnan(ratio) else ratio,
                mean_ms=float(ms[good].mean()),
            )
        )
    return dict(
        name=run.name,
        epoch=epoch,
        iteration=np.flatnonzero(inlier).tolist(),
        ms=ms[inlier].tolist(),
        removed=int((~inlier).sum()),
        segments=segments,
    )


def times_by_ratio(run: RunLog) -> List[Dict[str, float]]:
    """Share of iterations and time per drop ratio, over the whole run.

    The first epoch is left out if there are others. A run without a schedule
    has one row, ratio 0.

    Returns:
        list[dict]: ``drop_ratio``, ``share`` of the iterations, ``mean_ms``,
        ``median_ms``.

    Examples:
        >>> import pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> line = '{"epoch": 0, "time": 0.5, "loss": 2, "acc1": 90}'
        >>> log = pathlib.Path(folder.name, 'train_log.json')
        >>> _ = log.write_text(line)
        >>> times_by_ratio(RunLog(folder.name))[0]['mean_ms']
        500.0
    """
    epochs = run.column('epoch').astype(int)
    chosen = epochs > epochs.min()
    if not chosen.any():
        chosen[:] = True
    # Rounded, as a schedule without a quantum has a ratio per iteration.
    drop = np.nan_to_num(run.column('patch_drop_ratio')).round(2)
    ms = 1000 * run.column('time')
    rows = []
    for ratio in np.unique(drop[chosen]).tolist():
        at = ms[(drop == ratio) & chosen]
        rows.append(
            dict(
                drop_ratio=ratio,
                share=float((drop == ratio).mean()),
                mean_ms=float(at[_inliers(at)].mean()),
                median_ms=float(np.median(at)),
            )
        )
    return rows


def _inliers(values: np.ndarray) -> np.ndarray:
    """Which values are within three standard deviations, at least one."""
    deviation = np.abs(values - values.mean())
    return deviation <= 3 * values.std() + 1e-12
