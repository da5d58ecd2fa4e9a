# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A gated network and the dense one on the same frames."""

from typing import Callable, Dict, Iterable, Iterator, List, Mapping, Optional

import numpy as np
import torch
from torch import Tensor

from mask_plugins.functional.relative_error import relative_l2
from mask_plugins.utils.timing import timed

Step = Callable[[Tensor], Tensor]


def relative_error(output: Tensor, target: Tensor) -> float:
    """:math:`||output - target|| / ||target||` over all entries.

    Args:
        output (Tensor): Of any shape.
        target (Tensor): Of the same shape.

    Returns:
        float: 0 if both are zero.

    Examples:
        >>> relative_error(torch.tensor([3.0]), torch.tensor([2.0]))
        0.5
    """
    return float(relative_l2(output[None], target[None]))


class StreamComparison:
    """Run two networks on the same frames, in turn.

    Which of the two is first changes from frame to frame, so that neither
    always finds the caches as the other has left them.

    Args:
        dense (Callable): From an input :math:`(1, 3, H, W)` to the last
            feature.
        gated (Callable): The same of the gated network, which keeps its
            stream between calls.
        skip_ratio (Callable): Asked after each frame for the share of the
            multiply-adds that was skipped in it.
        head (Callable, optional): From the feature to scores of classes
            :math:`(1, K)`; adds ``agree``, whether the top ones are the
            same, and ``agree5``, the share of the dense network's first five
            that are among those of the gated one. Defaults to None.
        others (Mapping[str, Callable], optional): More networks that are
            timed and not compared. Defaults to None.
        clock (str): ``'wall'``, or ``'cpu'``: see ``time_interleaved``.
            Defaults to ``'wall'``.

    Examples:
        >>> compared = StreamComparison(torch.neg, torch.abs, lambda: 0.5)
        >>> record = compared.step(torch.ones(1, 3, 4, 4))
        >>> record['error'], record['skip_ratio']
        (2.0, 0.5)
    """

    def __init__(
        self,
        dense: Step,
        gated: Step,
        skip_ratio: Callable[[], float],
        head: Optional[Step] = None,
        others: Optional[Mapping[str, Step]] = None,
        clock: str = 'wall',
    ) -> None:
        self.clock = clock
        self.steps = dict(dense=dense, gated=gated, **(others or {}))
        self.skip_ratio = skip_ratio
        self.head = head
        self.count = 0

    @torch.no_grad()
    def step(self, image: Tensor) -> Dict[str, float]:
        """One frame.

        Args:
            image (Tensor): :math:`(1, 3, H, W)`.

        Returns:
            dict: ``frame`` (its number), ``dense_ms``, ``gated_ms``,
            ``error`` (relative L2 of the last feature), ``skip_ratio``,
            with a head ``agree`` (0 or 1) and ``agree5``, and
            ``{name}_ms`` of the others.
        """
        order = list(self.steps)[:: 1 if self.count % 2 else -1]
        features, record = {}, dict(frame=self.count)
        for name in order:
            took = timed(self.steps[name], image, self.clock)
            record[f'{name}_ms'], features[name] = 1000 * took[0], took[1]
        record['error'] = relative_error(features['gated'], features['dense'])
        record['skip_ratio'] = float(self.skip_ratio())
        if self.head is not None:
            #: Classes of the frame, by network.
            scores = {k: self.head(features[k]) for k in ('dense', 'gated')}
            self.top = {k: v.argmax(1) for k, v in scores.items()}
            same = self.top['dense'] == self.top['gated']
            record['agree'] = float(same.all())
            count = min(5, scores['dense'].shape[1])
            first = [v.topk(count).indices for v in scores.values()]
            found = first[0].unsqueeze(2) == first[1].unsqueeze(1)
            record['agree5'] = float(found.any(2).float().mean())
        self.count += 1
        return record

    def run(self, images: Iterable[Tensor]) -> Iterator[Dict[str, float]]:
        """The record of each frame, as they are done."""
        for image in images:
            yield self.step(image)


def summarize_stream(
    records: List[Mapping[str, float]], warmup: int = 1
) -> Dict[str, float]:
    """What the records of a stream say on average.

    Args:
        records (list[Mapping]): Of :meth:`StreamComparison.step`.
        warmup (int): Frames to leave out at the beginning; the first is
            computed in full. Defaults to 1; a shorter stream keeps its last.

    Returns:
        dict: ``frames``; ``speed_up`` (time of all dense frames over that of
        all gated ones); ``fps_dense``, ``fps_gated``; ``dense_p50``,
        ``dense_p95``, ``gated_p50``, ``gated_p95`` in milliseconds;
        ``error_mean``, ``error_p95``; ``skip_ratio``; ``agreement`` and
        ``agreement_top5``, if there was a head; ``speed_up_{name}`` against
        others; ``first_ms``, the gated first frame.

    Raises:
        ValueError: If there are no records.

    Examples:
        >>> record = dict(dense_ms=4.0, gated_ms=2.0, error=0, skip_ratio=1)
        >>> summarize_stream([record, record])['speed_up']
        2.0
    """
    if not records:
        raise ValueError('records must hold at least one frame, got none')
    kept = records[min(warmup, len(records) - 1) :]

    def column(key: str) -> np.ndarray:
        return np.array([record[key] for record in kept], dtype=float)

    dense, gated, error = map(column, ('dense_ms', 'gated_ms', 'error'))
    summary = dict(
        frames=len(kept),
        speed_up=dense.sum() / gated.sum(),
        error_mean=error.mean(),
        error_p95=np.percentile(error, 95),
        skip_ratio=column('skip_ratio').mean(),
        first_ms=records[0]['gated_ms'],
    )
    for name, values in dict(dense=dense, gated=gated).items():
        summary[f'fps_{name}'] = 1000 / values.mean()
        for percent in (50, 95):
            summary[f'{name}_p{percent}'] = np.percentile(values, percent)
    if 'agree' in kept[0]:
        summary['agreement'] = column('agree').mean()
        summary['agreement_top5'] = column('agree5').mean()
    for key in kept[0]:
        name = key[: -len('_ms')]
        if key.endswith('_ms') and name not in ('dense', 'gated'):
            summary[f'speed_up_{name}'] = column(key).sum() / gated.sum()
    return {key: float(value) for key, value in summary.items()}
