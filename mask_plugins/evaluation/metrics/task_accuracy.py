# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Accuracy on every task that was learned so far."""

from typing import Any, Dict, List, Sequence, Tuple

import torch
from mmengine.evaluator import BaseMetric

from mask_plugins.functional.continual import continual_indices
from mask_plugins.registry import METRICS

from .handed_over import handed_over

# Key in the message hub, set by ContinualHook during a validation or test:
# dict(bounds=..., task=..., rows=...).
EVALUATED_TASKS = 'evaluated_tasks'


@METRICS.register_module()
class TaskAccuracy(BaseMetric):
    """Accuracy per task, its mean, forgetting and backward transfer.

    Needs :class:`mask_plugins.ContinualHook` among the hooks. The loader
    feeds all classes; samples of classes that are not seen yet are left out.
    In %, of the classes seen so far, which all compete unless said otherwise:

    - ``continual/task1``, ...: of each task;
    - ``continual/average``: their mean, ``continual/top1``: over all samples;
    - ``continual/task_known``: mean over the tasks, where only the classes of
      a sample's own task compete (task-incremental learning);
    - ``continual/average_incremental``, ``continual/forgetting``,
      ``continual/backward_transfer``: see
      :mod:`mask_plugins.functional.continual`; left out where the results
      after earlier tasks are not known, as in a test of weights alone.

    Args:
        prefix (str, optional): Replaces ``continual``. Defaults to None.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Examples:
        >>> TaskAccuracy(prefix='tasks').prefix
        'tasks'
    """

    default_prefix = 'continual'

    def process(
        self, data_batch: Any, data_samples: Sequence[Dict[str, Any]]
    ) -> None:
        """Note the label, and whether it was found.

        Args:
            data_batch (Any): Not used.
            data_samples (Sequence[dict]): With ``pred_score``, (C, ), and a
                single ``gt_label``.
        """
        bounds = torch.tensor(self._tasks_of_hook()['bounds'])
        scores = torch.stack([s['pred_score'].cpu() for s in data_samples])
        labels = torch.cat([s['gt_label'].cpu() for s in data_samples])
        found = scores.argmax(dim=1) == labels
        # The classes of the sample's own task alone.
        task = torch.bucketize(labels, bounds, right=True)
        classes = torch.arange(scores.shape[1])
        own = torch.bucketize(classes, bounds, right=True) == task[:, None]
        known = scores.masked_fill(~own, -1).argmax(dim=1) == labels
        self.results += zip(
            (task - 1).tolist(), found.tolist(), known.tolist()
        )

    def compute_metrics(
        self, results: List[Tuple[int, bool, bool]]
    ) -> Dict[str, float]:
        """The numbers, without the prefix.

        Raises:
            ValueError: If a seen task has no sample.
        """
        handed = self._tasks_of_hook()
        tasks, found, known = torch.tensor(results).T  # N each
        seen = range(handed['task'] + 1)
        empty = [task for task in seen if not (tasks == task).any()]
        if empty:
            raise ValueError(
                f'there is no sample of the tasks {empty} to evaluate'
            )
        row = [_percent(found[tasks == task]) for task in seen]
        metrics = {f'task{task + 1}': row[task] for task in seen}
        metrics.update(
            average=sum(row) / len(row),
            top1=_percent(found[tasks <= handed['task']]),
            task_known=sum(_percent(known[tasks == task]) for task in seen)
            / len(row),
        )
        if len(handed['rows']) >= handed['task']:
            matrix = [*handed['rows'][: handed['task']], row]
            found = continual_indices(matrix)
            del found['average_accuracy']  # it is `average`
            found['average_incremental'] = found.pop(
                'average_incremental_accuracy'
            )
            metrics.update(found)
        return metrics

    @staticmethod
    def _tasks_of_hook() -> Dict[str, Any]:
        return handed_over(EVALUATED_TASKS, 'TaskAccuracy', 'ContinualHook')


def _percent(found: torch.Tensor) -> float:
    return 100 * found.double().mean().item()
