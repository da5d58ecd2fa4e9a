# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Report what the masks of a model keep while it is trained."""

import os.path as osp
from typing import Optional, Sequence, Set

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.core.weights import (
    MaskReport,
    WeightMask,
    mask_report,
    named_masks,
    write_settings,
)
from mask_plugins.core.weights.unused_masks import MaskWatch
from mask_plugins.evaluation.metrics import EVALUATED_MASKS
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_bool, check_choice, check_int
from mask_plugins.utils.files import write_json

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

    A mask that nothing has read in the first iteration of the training, or in
    the first one of an evaluation, is an error that names it: the network
    computes with the weight itself. In evaluation it is a warning where a
    whole part of the model (such as an auxiliary head) is not used. Not
    checked under ``torch.compile``.

    It warns of empty masks, of NaN and infinite logits or scores, of masks
    that got no gradient in the first iteration, and of masks that will not
    change anything in this run: a temperature that nothing sets, scores that
    are too slow for their threshold.

    All is a function of the model and of where the run is: nothing has to be
    saved to resume.

    Args:
        interval (int): Epochs between two rows of scalars. Defaults to 1.
        picture_interval (int): Epochs between two pictures; 0 draws none but
            the last. Defaults to 10.
        per_layer (bool): Scalars of every layer too. Defaults to False.
        unused (str): What a mask is that nothing reads: an ``'error'``, or a
            ``'warning'`` for parts that are off on purpose. Defaults to
            ``'error'``.

    Raises:
        TypeError: If an interval is not an int.
        ValueError: If ``interval`` is below 1, ``picture_interval`` below 0,
            ``unused`` unknown, or the model has no masks.
        RuntimeError: While it runs, if a mask is not used.

    Examples:
        >>> hook = MaskReportHook(interval=5, unused='warning')
        >>> custom_hooks = [dict(type='mask_plugins.MaskReportHook')]
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
        unused: str = 'error',
    ) -> None:
        self.interval = check_int('interval', interval, low=1)
        self.picture_interval = check_int(
            'picture_interval', picture_interval, low=0
        )
        self.per_layer = check_bool('per_layer', per_layer)
        self.unused = check_choice('unused', unused, ('error', 'warning'))
        self._watch: Optional[MaskWatch] = None
        self._warned: Set[str] = set()
        self._evaluated = False

    # ------------------------------------------------------------- training
    def before_train(self, runner: Runner) -> None:
        """Watch the first iteration."""
        self._report(runner)  # an error at once if there are no masks
        self._start_watch(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """See what the first iteration used; report where an epoch ends."""
        watch = self._stop_watch()
        if watch is not None:
            self._say_unused(runner, watch.unused, 'training')
            self._once(
                runner,
                'no gradient',
                watch.without_gradient,
                'masks of {} got no gradient in the first iteration: no loss '
                'depends on these layers. Take them out of the rules',
            )
        if runner.iter + 1 == WeightMask.PATIENCE:
            self._warn_stuck(runner)
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

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Averaged masks get their settings."""
        write_settings(runner.model, checkpoint)

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
        """Hand the masks over to the metric, watch the first iteration."""
        self._hand_over(runner, self._report(runner))
        self._start_evaluation(runner)

    def after_val_iter(self, runner: Runner, batch_idx: int, *args, **kw):
        """See what the first evaluation used."""
        self._check_evaluation(runner)

    def after_test_iter(self, runner: Runner, batch_idx: int, *args, **kw):
        """See what the first evaluation used."""
        self._check_evaluation(runner)

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """They change from here on."""
        runner.message_hub.pop_info(EVALUATED_MASKS)

    def before_test_epoch(self, runner: Runner) -> None:
        """Hand the masks over to the metric; the table into the log."""
        report = self._report(runner)
        self._warn(runner, report)
        runner.logger.info(f'Masks that are tested:\n{report}')
        self._hand_over(runner, report)
        self._start_evaluation(runner)

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
        report = mask_report(runner.model)
        if not report.rows:
            raise ValueError(
                f'{type(self).__name__}: the model has no masks; put some on '
                'with mask_plugins.MaskedModel or '
                "conv_cfg=dict(type='mask_plugins.SoftMaskConv2d'), or take "
                'the hook (and the metric mask_plugins.MaskDensity) out'
            )
        return report

    def _log(self, runner: Runner, report: MaskReport) -> None:
        scalars = report.summary()
        del scalars['sparsity']
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
            'Score masks: lower the threshold or the learning rate of the '
            'scores',
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

    def _start_watch(self, runner: Runner) -> None:
        # A compiled step would have to be compiled once more without hooks.
        if not runner.cfg.get('compile'):
            self._watch = MaskWatch(runner.model)

    def _stop_watch(self) -> Optional[MaskWatch]:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        return watch

    def _start_evaluation(self, runner: Runner) -> None:
        if not self._evaluated:
            self._evaluated = True
            self._start_watch(runner)

    def _check_evaluation(self, runner: Runner) -> None:
        watch = self._stop_watch()
        if watch is None:
            return
        parts = {name.split('.')[0] for name in watch.used}
        off = [n for n in watch.unused if n.split('.')[0] not in parts]
        self._once(
            runner,
            'off',
            off if parts else [],
            'masks of {} are not used in evaluation, nor is any other mask '
            'of this part of the model',
        )
        unused = [name for name in watch.unused if name not in off]
        self._say_unused(runner, unused or off * (not parts), 'evaluation')

    def _say_unused(
        self, runner: Runner, names: Sequence[str], where: str
    ) -> None:
        message = (
            'masks of {} were not used in the first iteration of the '
            f'{where}: nothing has read these weights through their layer, so '
            'that the network may compute with them unmasked. Take them out '
            'of the rules, build the model by mask_plugins.MaskedModel, or if '
            "they are off on purpose set MaskReportHook(unused='warning')"
        )
        if names and self.unused == 'error':
            raise RuntimeError(message.format(_listed(names)))
        self._once(runner, 'unused', names, message)

    def _warn_stuck(self, runner: Runner) -> None:
        left = runner.max_iters - runner.iter
        reasons = {
            name: mask.why_stuck(left)
            for name, _, mask in named_masks(runner.model)
        }
        names = [name for name, reason in reasons.items() if reason]
        if names:
            message = 'masks of {} will not change anything: '
            self._once(runner, 'stuck', names, message + reasons[names[0]])

    def _once(
        self, runner: Runner, kind: str, names: Sequence[str], message: str
    ) -> None:
        new = [name for name in names if f'{kind} {name}' not in self._warned]
        if not new:
            return
        self._warned |= {f'{kind} {name}' for name in new}
        runner.logger.warning(
            f'{type(self).__name__}: {message.format(_listed(new))}.'
        )


def _listed(names: Sequence[str]) -> str:
    more = f' and {len(names) - 5} more' if len(names) > 5 else ''
    return ', '.join(names[:5]) + more
