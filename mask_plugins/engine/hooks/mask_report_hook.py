# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Report what the masks of a model keep while it is trained."""

from typing import Optional, Sequence, Set

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.core import weights
from mask_plugins.core.weights.unused_masks import MaskWatch
from mask_plugins.core.weights.use_check import drop_use_check
from mask_plugins.datasets.samplers import locate_step
from mask_plugins.evaluation.metrics import EVALUATED_MASKS
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import check_bool, check_choice, check_int
from mask_plugins.utils.files import write_json

from .pictures import show_figure

NAME = 'mask_report'
# What the hook warns of, with the names of the masks in place of {}.
WARNINGS = {
    'empty': 'nothing of {} is kept. Soft masks: start from a higher '
    'mask_init, lower the penalty or the learning rate of the masks. Score '
    'masks: lower the threshold or the learning rate of the scores',
    'not finite': 'logits or scores of {} are NaN or infinite. Lower the '
    'learning rate of the masks, or clip gradients',
    'no gradient': 'masks of {} got no gradient in the first iteration: no '
    'loss depends on these layers. Take them out of the rules',
    'off': 'masks of {} are not used in evaluation, nor is any other mask of '
    'this part of the model',
    'unused': 'masks of {} were not used in the first iteration of the {}: '
    'their layer has not read them. Take them out of the rules, or if they '
    "are off on purpose set MaskReportHook(unused='warning')",
    'stuck': 'masks of {} will not change anything: {}',
}


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
        self.interval = check_int('interval', interval, 1)
        check_int('picture_interval', picture_interval, 0)
        self.picture_interval = picture_interval
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

    def after_train_iter(self, runner: Runner, batch_idx: int, **_) -> None:
        """See what the first iteration used; report where an epoch ends."""
        watch = self._stop_watch()
        if watch is not None:
            self._once(runner, 'unused', watch.unused, 'training')
            self._once(runner, 'no gradient', watch.without_gradient)
        if runner.iter + 1 == weights.WeightMask.PATIENCE:
            self._warn_stuck(runner)
        epoch = self._epoch(runner, batch_idx)
        if epoch and epoch % self.interval == 0:
            report = self._report(runner)
            self._log(runner, report)
            self._warn(runner, report)
        every = self.picture_interval
        if epoch and every and epoch % every == 0:
            self._draw(runner, self._report(runner), epoch)

    def after_train(self, runner: Runner) -> None:
        """The table, the last picture, the report as JSON."""
        report = self._report(runner)
        self._warn(runner, report)
        runner.logger.info(f'Masks at the end of the training:\n{report}')
        epoch, rest = locate_step(runner.train_dataloader, runner.iter)
        self._draw(runner, report, epoch + bool(rest))
        if is_main_process():
            write_json(f'{runner.work_dir}/{NAME}.json', report.to_dict())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Averaged masks get their settings."""
        weights.write_settings(runner.model, checkpoint)

    @staticmethod
    def _epoch(runner: Runner, batch_idx: int) -> int:
        """How many epochs are done, if one ends with this iteration."""
        loop, loader = runner.train_loop, runner.train_dataloader
        if hasattr(loop, 'dataloader_iterator'):  # counts no epochs
            epoch, rest = locate_step(loader, runner.iter + 1)
            return 0 if rest else epoch
        return loop.epoch + 1 if batch_idx + 1 == len(loader) else 0

    # ----------------------------------------------------------- evaluation
    def before_val_epoch(self, runner: Runner) -> None:
        """Hand the masks over to the metric, watch the first iteration."""
        # Not by update_info(resumed=False): it leaves the key in checkpoints,
        # which mmengine then warns about.
        info = runner.message_hub.runtime_info
        info[EVALUATED_MASKS] = self._report(runner)
        if not self._evaluated:
            self._evaluated = True
            self._start_watch(runner)

    def after_val_iter(self, runner: Runner, *args, **kwargs) -> None:
        """See what the first evaluation used."""
        watch = self._stop_watch()
        if watch is None:
            return
        parts = {name.split('.')[0] for name in watch.used}
        off = [n for n in watch.unused if n.split('.')[0] not in parts]
        if parts:
            self._once(runner, 'off', off)
            off = [name for name in watch.unused if name not in off]
        self._once(runner, 'unused', off, 'evaluation')

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """They change from here on."""
        runner.message_hub.pop_info(EVALUATED_MASKS)

    def before_test_epoch(self, runner: Runner) -> None:
        """Hand the masks over to the metric; the table into the log."""
        report = self._report(runner)
        self._warn(runner, report)
        runner.logger.info(f'Masks that are tested:\n{report}')
        self.before_val_epoch(runner)

    after_test_iter = after_val_iter
    after_test_epoch = after_val_epoch

    # ---------------------------------------------------------------- parts
    def _report(self, runner: Runner) -> weights.MaskReport:
        report = weights.mask_report(runner.model)
        if not report.rows:
            what = 'put some on, or leave out mask_plugins.MaskDensity too'
            raise ValueError(f'the model has no masks; {what}')
        return report

    def _log(self, runner: Runner, report: weights.MaskReport) -> None:
        scalars = report.summary()
        del scalars['sparsity']
        for row in report.rows if self.per_layer else ():
            scalars[f'density/{row.name}'] = row.density
            scalars[f'soft_density/{row.name}'] = row.soft_density
        for key, value in scalars.items():
            runner.message_hub.update_scalar(f'train/mask/{key}', value)

    def _draw(self, runner: Runner, report, epoch: int) -> None:
        if is_main_process():
            from mask_plugins.visualization import draw_mask_density

            figure = draw_mask_density(report.to_dict(), f'epoch {epoch}')
            show_figure(runner, NAME, figure, epoch)

    # ------------------------------------------------------------- warnings
    def _warn(self, runner: Runner, report: weights.MaskReport) -> None:
        low = [r for r in report.rows if r.soft_density < self.NEGLIGIBLE]
        self._once(runner, 'empty', [r.name for r in low if not r.kept])
        self._once(runner, 'not finite', report.not_finite)

    def _start_watch(self, runner: Runner) -> None:
        # A compiled step would have to be compiled once more without hooks.
        if not runner.cfg.get('compile'):
            for module in runner.model.modules():
                drop_use_check(module)  # this watch is in its place
            self._watch = MaskWatch(runner.model)

    def _stop_watch(self) -> Optional[MaskWatch]:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        return watch

    def _warn_stuck(self, runner: Runner) -> None:
        left = runner.max_iters - runner.iter
        masks = weights.named_masks(runner.model)
        reasons = {name: mask.why_stuck(left) for name, _, mask in masks}
        names = [name for name, reason in reasons.items() if reason]
        if names:
            self._once(runner, 'stuck', names, reasons[names[0]])

    def _once(
        self, runner: Runner, kind: str, names: Sequence[str], more: str = ''
    ) -> None:
        new = [name for name in names if f'{kind} {name}' not in self._warned]
        if not new:
            return
        self._warned |= {f'{kind} {name}' for name in new}
        rest = f' and {len(new) - 5} more' if len(new) > 5 else ''
        message = WARNINGS[kind].format(', '.join(new[:5]) + rest, more)
        if kind == 'unused' and self.unused == 'error':
            raise RuntimeError(message)
        runner.logger.warning(f'{type(self).__name__}: {message}.')
