# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Report what the masks of a model keep while it is trained."""

import os.path as osp
from typing import Optional, Sequence, Set

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.core.weights import MaskReport, mask_report
from mask_plugins.core.weights.unused_masks import MaskWatch
from mask_plugins.evaluation.metrics import EVALUATED_MASKS
from mask_plugins.registry import HOOKS
from mask_plugins.utils.files import write_json

from .attribute_target import unwrap

NAME = 'mask_report'


@HOOKS.register_module()
class MaskReportHook(Hook):
    """Log the density of the masks, draw it, and warn where it goes wrong.

    At the end of an epoch, of the masks as they then are:

    - scalars ``train/mask/density``, ``soft_density``, ``density_of_model``
      and ``empty`` (the number of masks of which nothing is kept), per layer
      too if wanted (``train/mask/density/<parameter>``);
    - a picture of the density by layer, through the visualizer (so every
      backend has it) and as ``mask_report.png`` in the work_dir.

    At the end of the training a table in the log, the last picture, and
    ``mask_report.json``. It is also what hands the masks over to
    :class:`mask_plugins.MaskDensity`, in validation and test.

    It warns of empty masks, of NaN and infinite logits or scores, and of
    masks that got no gradient in the first iteration, as where a module
    reads a weight past the forward of the layer that owns it.

    All is a function of the model and of where the run is: nothing has to be
    saved to resume.

    Args:
        interval (int): Epochs between two rows of scalars. Defaults to 1.
        picture_interval (int): Epochs between two pictures; 0 draws none but
            the last. Defaults to 10.
        per_layer (bool): Scalars of every layer too. Defaults to False.

    Raises:
        ValueError: If an interval is not allowed, or the model has no masks.
    """

    # After the hooks that set masks (EMAHook 50, ScheduleHook 55), before
    # those that log (TrainLogHook 58, LoggerHook 60).
    priority = 57

    # Soft masks of a lower mean are as good as empty.
    NEGLIGIBLE = 1e-3

    def __init__(
        self,
        interval: int = 1,
        picture_interval: int = 10,
        per_layer: bool = False,
    ) -> None:
        if type(interval) is not int or interval < 1:
            raise ValueError(
                f'interval must be an int of at least 1, got {interval!r}'
            )
        if type(picture_interval) is not int or picture_interval < 0:
            raise ValueError(
                'picture_interval must be an int of at least 0, got '
                f'{picture_interval!r}'
            )
        self.interval = interval
        self.picture_interval = picture_interval
        self.per_layer = per_layer
        self._watch: Optional[MaskWatch] = None
        self._warned: Set[str] = set()

    # ------------------------------------------------------------- training
    def before_train(self, runner: Runner) -> None:
        """Watch the gradients of the first iteration."""
        self._report(runner)  # an error at once if there are no masks
        # A compiled step would have to be compiled once more without hooks.
        if not runner.cfg.get('compile'):
            self._watch = MaskWatch(unwrap(runner.model))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Look at the gradients once; report where an epoch ends."""
        if self._watch is not None:
            self._warn_unused(runner, self._watch.close())
            self._watch = None
        epoch = self._epoch(runner, batch_idx)
        if not epoch:
            return
        if epoch % self.interval == 0:
            report = self._report(runner)
            self._log(runner, report)
            self._warn(runner, report)
        if self.picture_interval and epoch % self.picture_interval == 0:
            self._draw(runner, self._report(runner), epoch)

    def after_train(self, runner: Runner) -> None:
        """The table, the last picture, the report as JSON."""
        report = self._report(runner)
        self._warn(runner, report)
        runner.logger.info(f'Masks at the end of the training:\n{report}')
        length = len(runner.train_dataloader)
        self._draw(runner, report, -(-runner.iter // length))
        if is_main_process():
            path = osp.join(runner.work_dir, f'{NAME}.json')
            write_json(path, report.to_dict())

    @staticmethod
    def _epoch(runner: Runner, batch_idx: int) -> int:
        """How many epochs are done, if one ends with this iteration."""
        loop, length = runner.train_loop, len(runner.train_dataloader)
        if hasattr(loop, 'dataloader_iterator'):  # counts no epochs
            epoch, rest = divmod(runner.iter + 1, length)
            return 0 if rest else epoch
        return loop.epoch + 1 if batch_idx + 1 == length else 0

    # ----------------------------------------------------------- evaluation
    def before_val_epoch(self, runner: Runner) -> None:
        """Hand the masks over to the metric."""
        self._hand_over(runner, self._report(runner))

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """They change from here on."""
        runner.message_hub.pop_info(EVALUATED_MASKS)

    def before_test_epoch(self, runner: Runner) -> None:
        """Hand the masks over to the metric; the table into the log."""
        report = self._report(runner)
        self._warn(runner, report)
        runner.logger.info(f'Masks that are tested:\n{report}')
        self._hand_over(runner, report)

    def after_test_epoch(self, runner: Runner, metrics=None) -> None:
        """They may change from here on."""
        runner.message_hub.pop_info(EVALUATED_MASKS)

    @staticmethod
    def _hand_over(runner: Runner, report: MaskReport) -> None:
        # Not by update_info(resumed=False): it leaves the key in checkpoints,
        # which mmengine then warns about.
        runner.message_hub.runtime_info[EVALUATED_MASKS] = report

    # ---------------------------------------------------------------- parts
    def _report(self, runner: Runner) -> MaskReport:
        report = mask_report(unwrap(runner.model))
        if not report.rows:
            raise ValueError(
                f'{type(self).__name__}: the model has no masks; put some on '
                'with mask_plugins.MaskedModel or '
                "conv_cfg=dict(type='mask_plugins.SoftMaskConv2d'), or take "
                'the hook (and the metric mask_plugins.MaskDensity) out'
            )
        return report

    def _log(self, runner: Runner, report: MaskReport) -> None:
        scalars = dict(
            density=report.density,
            soft_density=report.soft_density,
            density_of_model=report.density_of_model,
            empty=len(report.empty),
        )
        for row in report.rows if self.per_layer else ():
            scalars[f'density/{row.name}'] = row.density
            scalars[f'soft_density/{row.name}'] = row.soft_density
        for key, value in scalars.items():
            runner.message_hub.update_scalar(f'train/mask/{key}', value)

    def _draw(self, runner: Runner, report: MaskReport, epoch: int) -> None:
        if not is_main_process():
            return
        from mask_plugins.visualization import (
            draw_mask_density,
            figure_to_image,
            save_figure,
        )

        figure = draw_mask_density(report.to_dict(), f'epoch {epoch}')
        runner.visualizer.add_image(NAME, figure_to_image(figure), epoch)
        path = osp.join(runner.work_dir, f'{NAME}.png')
        save_figure(figure, path, dpi=150)

    # ------------------------------------------------------------- warnings
    def _warn(self, runner: Runner, report: MaskReport) -> None:
        empty = [
            row.name
            for row in report.rows
            if not row.kept and row.soft_density < self.NEGLIGIBLE
        ]
        self._once(
            runner,
            'empty',
            empty,
            'nothing of {} is kept. Soft masks: start from a higher '
            'mask_init, lower the penalty or the learning rate of the masks. '
            'Score masks: lower k, or the learning rate of the scores',
        )
        self._once(
            runner,
            'not finite',
            report.not_finite,
            'logits or scores of {} are NaN or infinite. Go back to an '
            'earlier checkpoint and lower the learning rate of the masks, or '
            'clip gradients (optim_wrapper.clip_grad); with mixed precision, '
            'look at the loss scale',
        )

    def _warn_unused(self, runner: Runner, names: Sequence[str]) -> None:
        self._once(
            runner,
            'unused',
            names,
            'masks of {} got no gradient in the first iteration: these '
            'layers were not used in it, or another module reads their '
            'weights itself, past the mask. Take them out of the rules, or '
            'run what reads them inside '
            'mask_plugins.core.weights.hold_masks(model)',
        )

    def _once(
        self, runner: Runner, kind: str, names: Sequence[str], message: str
    ) -> None:
        new = [name for name in names if f'{kind} {name}' not in self._warned]
        if not new:
            return
        self._warned |= {f'{kind} {name}' for name in new}
        listed = ', '.join(new[:5])
        more = f' and {len(new) - 5} more' if len(new) > 5 else ''
        runner.logger.warning(
            f'{type(self).__name__}: {message.format(listed + more)}.'
        )
