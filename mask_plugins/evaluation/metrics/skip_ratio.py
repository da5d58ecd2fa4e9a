# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a gated network skips on streams, and how its output changes."""

from collections import defaultdict
from typing import Any, Dict, List, Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from mask_plugins.registry import METRICS
from mask_plugins.utils.checks import check_bool

MEANS = ('top1', 'agreement', 'dense_top1', 'relative_l2')
PERCENTILES = (
    ('relative_l2', 95),
    ('latency', 50), ('latency', 95),
    ('dense_latency', 50), ('dense_latency', 95),
)  # fmt: skip


@METRICS.register_module()
class SkipRatio(BaseMetric):
    """Skipped multiply-adds, agreement with the dense network, latency.

    For the predictions of :class:`mask_plugins.StreamClassifier`, one per
    clip. Frames that were computed in full (the first of a stream, after a
    scene cut) count as well; they are a price of the method.

    - ``stream/skip_ratio``: share of the multiply-adds of the gated layers
      that was skipped, those of the gates added back, so that it is negative
      where gates cost more than they save;
    - ``stream/skip_ratio_gross``: the same without the gates' cost;
    - ``stream/gate_cost``: that cost, as a share;
    - ``stream/skip/<layer>``: gross, of each layer, with ``per_layer``;
    - ``stream/top1``: of single frames, in percent, where there are labels;
    - ``stream/latency_p50``, ``latency_p95``: of a call, all streams of a
      batch together, in milliseconds, the first frame of a clip left out;

    and where the classifier has ``compare_dense=True``

    - ``stream/agreement``: share of frames with the same top class as the
      dense network, in percent; ``stream/dense_top1``;
    - ``stream/relative_l2``, ``relative_l2_p95``: of the last feature;
    - ``stream/dense_latency_p50``, ``dense_latency_p95`` of the same network
      with its layers dense; skipped multiply-adds are *not* a speed-up, this
      is one: ``stream/speed_up``, of the sums of both.

    Args:
        per_layer (bool): Also the skip ratio of each layer. Defaults to
            False.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Examples:
        >>> metric, scores = SkipRatio(), torch.eye(2)
        >>> record = dict(scores=scores, macs=dict(conv=(100, 40, 10)))
        >>> metric.process(None, [dict(stream_record=record, gt_label=0)])
        >>> found = metric.evaluate(1)
        >>> found['stream/skip_ratio'], found['stream/top1']
        (0.5, 50.0)
    """

    default_prefix = 'stream'

    def __init__(self, per_layer: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.per_layer = check_bool('per_layer', per_layer)

    def process(
        self, data_batch: Any, data_samples: Sequence[Dict[str, Any]]
    ) -> None:
        """Keep the numbers of each clip."""
        for sample in data_samples:
            record = sample.get('stream_record')
            if record is None:
                raise RuntimeError(
                    'mask_plugins.SkipRatio needs the predictions of a '
                    'mask_plugins.StreamClassifier that was given clips'
                )
            label = sample.get('gt_label')
            label = None if label is None else int(torch.as_tensor(label))
            self.results.append(dict(record, label=label))

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """The numbers, without the prefix."""
        macs = defaultdict(lambda: np.zeros(3))
        for result in results:
            for layer, values in result['macs'].items():
                macs[layer] += values
        columns = defaultdict(list)
        for result in results:
            top, label = result['scores'].argmax(1), result['label']  # T
            pairs = [('top1', top, label)]
            if 'dense_scores' in result:
                dense = result['dense_scores'].argmax(1)
                pairs.append(('agreement', top, dense))
                pairs.append(('dense_top1', dense, label))
            for key, found, true in pairs:
                if true is not None:
                    columns[key] += (100.0 * (found == true)).tolist()
            for key in ('relative_l2', 'latency', 'dense_latency'):
                columns[key] += result.get(key, ())
        metrics = self._skipped(macs)
        for key in filter(columns.get, MEANS):
            metrics[key] = float(np.mean(columns[key]))
        for key, percent in PERCENTILES:
            if columns[key]:
                value = float(np.percentile(columns[key], percent))
                metrics[f'{key}_p{percent}'] = value
        if columns['dense_latency'] and sum(columns['latency']):
            metrics['speed_up'] = sum(columns['dense_latency']) / sum(
                columns['latency']
            )
        return metrics

    def _skipped(self, macs: Dict[str, np.ndarray]) -> Dict[str, float]:
        if not macs:
            return dict(skip_ratio=0.0, skip_ratio_gross=0.0, gate_cost=0.0)
        dense, computed, gate = sum(macs.values())
        metrics = dict(
            skip_ratio=1 - (computed + gate) / dense,
            skip_ratio_gross=1 - computed / dense,
            gate_cost=gate / dense,
        )
        if self.per_layer:
            for layer, (dense, computed, _) in macs.items():
                metrics[f'skip/{layer}'] = 1 - computed / dense
        return {key: float(value) for key, value in metrics.items()}
