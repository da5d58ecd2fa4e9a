# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How much the masks of the evaluated model keep, among its results."""

from typing import Any, Dict, Sequence

from mmengine.evaluator import BaseMetric

from mask_plugins.core.weights import MaskReport
from mask_plugins.registry import METRICS

from .handed_over import handed_over

# Key in the message hub: the report of the model that is being evaluated. A
# metric sees predictions only, so MaskReportHook puts it there before, and
# takes it away after each validation and test.
EVALUATED_MASKS = 'evaluated_masks'


@METRICS.register_module()
class MaskDensity(BaseMetric):
    """Report what the masks of the model keep.

    Needs ``dict(type='mask_plugins.MaskReportHook')`` among the hooks, which
    hands the masks over as they are evaluated: averaged ones of an
    ``EMAHook``, soft ones or tickets, in validation and under ``mim test``.
    All are shares in [0, 1] but the last:

    - ``mask/density``, ``mask/sparsity``: share of the masked weights that
      the hard masks keep, and that they remove;
    - ``mask/soft_density``: mean of the masks as they are; above the density
      while soft masks are being annealed;
    - ``mask/density_of_model``: share kept of all parameters, those without
      a mask included;
    - ``mask/empty``: number of masks of which nothing is kept.

    Args:
        prefix (str, optional): Replaces ``mask``. Defaults to None.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Examples:
        >>> val_evaluator = [dict(type='mask_plugins.MaskDensity')]
        >>> custom_hooks = [dict(type='mask_plugins.MaskReportHook')]
        >>> MaskDensity(prefix='ema').prefix
        'ema'
    """

    default_prefix = 'mask'

    def process(
        self, data_batch: Any, data_samples: Sequence[Dict[str, Any]]
    ) -> None:
        """Look for the masks at once, not after a long evaluation."""
        self._report()

    def compute_metrics(self, results: Sequence[Any]) -> Dict[str, float]:
        """The numbers, without the prefix."""
        return self._report().summary()

    def evaluate(self, size: int) -> Dict[str, float]:
        """The numbers: the same on all ranks, so there is nothing to gather.

        Args:
            size (int): Of the data set; not used.

        Raises:
            RuntimeError: If no :class:`MaskReportHook` has handed masks over.
        """
        metrics = self.compute_metrics([])
        return {f'{self.prefix}/{key}': v for key, v in metrics.items()}

    def _report(self) -> MaskReport:
        return handed_over(EVALUATED_MASKS, 'MaskDensity', 'MaskReportHook')
