# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Continuous Sparsification: rounds of search, then a rewound ticket."""

from typing import Any, Dict, List, Union

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.core.weights import (
    SoftMask,
    mask_report,
    named_masks,
    unwrap,
    write_settings,
)
from mask_plugins.core.weights.rewind_point import RewindPoint
from mask_plugins.core.weights.sparsification_plan import SparsificationPlan
from mask_plugins.core.weights.ticket import CRITERIA, SCOPES, make_ticket
from mask_plugins.models.penalized_model import add_mask_penalty
from mask_plugins.registry import HOOKS
from mask_plugins.utils.checks import (
    check_bool,
    check_choice,
    check_int,
    check_number,
)

STATE = 'continuous_sparsification'


@HOOKS.register_module()
class ContinuousSparsificationHook(Hook):
    """Anneal soft masks over rounds, then train the rewound hard ticket.

    Savarese et al., "Winning the Lottery with Continuous Sparsification",
    arXiv:1912.04427, as one run of R * E + ticket epochs that may
    be resumed at any epoch:

    - in each round the temperature grows from 1 to ``final_temperature``;
      between rounds logits become min(b * s, s0), with b the final
      temperature, so that what is off stays off;
    - before epoch ``rewind_epoch`` of the first round everything but the masks
      is kept (in the checkpoints too), and the ticket phase starts from it;
    - the ticket is 1[s > 0] (or has an exact sparsity), its logits are frozen.

    See :class:`mask_plugins.engine.optimizers.StagewiseMultiStepLR` for
    learning rates that restart in each stage.

    Args:
        rounds (int): R. Defaults to 3.
        epochs_per_round (int): E. Defaults to 85.
        ticket_epochs (int): Epochs of the ticket phase. Defaults to 85.
        final_temperature (float): T. Defaults to 200.
        by_epoch (bool): Whether the temperature changes once per epoch, as
            the authors' does, or at every iteration. Defaults to True.
        rewind_epoch (int): Whole epochs before the weights are kept; 0 is the
            initialization. Defaults to 2.
        penalty (float): Weight of the sum of all masks among the losses.
            Defaults to 1e-8.
        penalty_reduction (str): ``'sum'`` or ``'mean'``. Defaults to
            ``'sum'``.
        prune_temperature (str | float): b between rounds: ``'end'``, the final
            temperature; 1 is what the authors' code does, which brings most
            of the pruned weights back. Defaults to ``'end'``.
        rewind_each_round (bool): Rewind the weights between rounds too, which
            the paper does not. Defaults to False.
        reset_momentum (str): When the optimizer forgets its state:
            ``'ticket'``, as the authors' code does, ``'stage'`` (every round
            too) or ``'never'``. Defaults to ``'ticket'``.
        target_sparsity (float): Exact share of masked weights that the ticket
            removes; below 0: whatever the search has found. Defaults to -1.
        target_scope (str): Rank over all layers, ``'global'``, or within each,
            ``'layer'``. Defaults to ``'global'``.
        ticket_by (str): What ranks the weights for a target: their
            ``'logit'``, or for baselines ``'magnitude'`` or ``'random'``.
            Defaults to ``'logit'``.
        test_masks (str): What ``mim test`` uses: ``'as_saved'``, ``'soft'`` or
            ``'ticket'``. Defaults to ``'as_saved'``.

    Raises:
        TypeError: If a number or a flag is not one.
        ValueError: If a number is out of range, ``reset_momentum``,
            ``target_scope``, ``ticket_by`` or ``test_masks`` is unknown, or
            ``ticket_by`` is given without a ``target_sparsity``.

    Examples:
        >>> hook = ContinuousSparsificationHook(
        ...     rounds=2, epochs_per_round=5, ticket_epochs=5)
        >>> hook.plan.max_epochs
        15
    """

    # After EMAHook (50), whose swap comes first; before LoggerHook (60).
    priority = 55

    CHOICES = dict(
        reset_momentum=('ticket', 'stage', 'never'),
        target_scope=SCOPES,
        ticket_by=CRITERIA,
        test_masks=('as_saved', 'soft', 'ticket'),
    )

    def __init__(
        self,
        rounds: int = 3,
        epochs_per_round: int = 85,
        ticket_epochs: int = 85,
        final_temperature: float = 200.0,
        by_epoch: bool = True,
        rewind_epoch: int = 2,
        penalty: float = 1e-8,
        penalty_reduction: str = 'sum',
        prune_temperature: Union[str, float] = 'end',
        rewind_each_round: bool = False,
        reset_momentum: str = 'ticket',
        target_sparsity: float = -1.0,
        target_scope: str = 'global',
        ticket_by: str = 'logit',
        test_masks: str = 'as_saved',
    ) -> None:
        self.plan = SparsificationPlan(
            rounds, epochs_per_round, ticket_epochs, final_temperature
        )
        check_int('rewind_epoch', rewind_epoch, 0, epochs_per_round - 1)
        if prune_temperature != 'end':
            check_number('prune_temperature', prune_temperature, low=1)
        check_number('target_sparsity', target_sparsity, None, 1, '[)')
        if ticket_by != 'logit' and target_sparsity < 0:
            raise ValueError(
                f'ticket_by={ticket_by!r} needs a target_sparsity of at least '
                f'0, got {target_sparsity!r}'
            )
        given = dict(
            reset_momentum=reset_momentum,
            target_scope=target_scope,
            ticket_by=ticket_by,
            test_masks=test_masks,
        )
        for name, value in given.items():
            setattr(self, name, check_choice(name, value, self.CHOICES[name]))
        self.by_epoch = check_bool('by_epoch', by_epoch)
        self.rewind_epoch = rewind_epoch
        self.penalty = check_number('penalty', penalty, low=0)
        self.penalty_reduction = penalty_reduction
        self.prune_temperature = prune_temperature
        self.rewind_each_round = check_bool(
            'rewind_each_round', rewind_each_round
        )
        self.target_sparsity = target_sparsity
        self._point = RewindPoint()
        # Stages whose beginning is done: what is done there is done once.
        self._begun = 0

    def before_train(self, runner: Runner) -> None:
        """Check the run, and put the penalty among the losses."""
        masks = self._masks(runner)
        found = runner.max_epochs
        loop = runner.train_loop
        if hasattr(loop, 'dataloader_iterator'):
            raise ValueError(
                f'{type(self).__name__} counts epochs: use '
                'train_cfg=dict(by_epoch=True, ...)'
            )
        if found != self.plan.max_epochs:
            raise ValueError(
                f'train_cfg.max_epochs must be rounds * epochs_per_round + '
                f'ticket_epochs = {self.plan.rounds} * '
                f'{self.plan.epochs_per_round} + {self.plan.ticket_epochs} = '
                f'{self.plan.max_epochs}, got {found}'
            )
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if len(loop.dataloader) % counts:
            raise ValueError(
                'accumulative_counts must divide the '
                f'{len(loop.dataloader)} iterations of an epoch, or gradients '
                f'of one stage get into the next, got {counts}'
            )
        wrapper_finds = getattr(runner.model, 'find_unused_parameters', True)
        if self.plan.ticket_epochs and not wrapper_finds:
            raise ValueError(
                'in the ticket phase the logits get no gradient, which '
                'DistributedDataParallel has to be told: set '
                'find_unused_parameters=True in the config'
            )
        if self.penalty:
            add_mask_penalty(
                unwrap(runner.model), self.penalty, self.penalty_reduction
            )
        total = sum(mask.logits.numel() for mask in masks)
        runner.logger.info(
            f'{type(self).__name__}: {len(masks)} soft masks of {total:,} '
            f'weights; {self.plan.rounds} rounds of '
            f'{self.plan.epochs_per_round} epochs, then '
            f'{self.plan.ticket_epochs} of the ticket'
        )

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin a stage, keep the weights to rewind to."""
        stage, epoch, _ = self.plan.position(runner.epoch)
        if stage > self._begun:
            self._begin_stage(runner, stage)
            self._begun = stage
        if stage == 0 and epoch == self.rewind_epoch:
            if self._point.take(runner.model):
                runner.logger.info(
                    f'The weights after {epoch} epochs are kept to rewind to'
                )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None
    ) -> None:
        """Set this iteration's temperature and log what the masks have."""
        stage, epoch, ticket = self.plan.position(runner.epoch)
        if not ticket:
            step, steps = epoch, self.plan.epochs_per_round
            if not self.by_epoch:
                length = len(runner.train_dataloader)
                step = runner.iter - stage * steps * length
                steps *= length
            for mask in self._masks(runner):
                mask.temperature = self.plan.temperature(step, steps)
        hub = runner.message_hub
        temperature = self._masks(runner)[0].temperature
        hub.update_scalar('train/temperature', temperature)
        hub.update_scalar('train/stage', stage)
        if batch_idx == 0:
            report = mask_report(runner.model)
            hub.update_scalar('train/density', report.density)
            hub.update_scalar('train/soft_density', report.soft_density)

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        """Say how much is kept."""
        stage, epoch, ticket = self.plan.position(runner.epoch)
        report = mask_report(runner.model)
        name = 'ticket' if ticket else f'round {stage + 1}/{self.plan.rounds}'
        runner.logger.info(
            f'{name}, epoch {epoch + 1}: kept {report.density:.2%} of the '
            f'masked weights (mean of the masks {report.soft_density:.2%})'
        )

    def _begin_stage(self, runner: Runner, stage: int) -> None:
        model = runner.model
        masks = self._masks(runner)
        ticket = stage == self.plan.rounds
        if ticket:
            self._make_ticket(runner)
        else:
            b = self.prune_temperature
            b = self.plan.final_temperature if b == 'end' else float(b)
            for mask in masks:
                mask.prune(b)
        if ticket or self.rewind_each_round:
            self._point.rewind(model)
        if self.reset_momentum == 'stage' or (
            ticket and self.reset_momentum == 'ticket'
        ):
            _forget(runner.optim_wrapper)
        self._restart_average(runner)
        what = f'round {stage + 1} begins: logits restart at their initial'
        what += ' value at most; the ticket is taken after the last round'
        if ticket:
            share = mask_report(model).sparsity
            what = f'the ticket removes {share:.2%} of the masked weights'
        runner.logger.info(f'Epoch {runner.epoch + 1}: {what}')

    def _make_ticket(self, runner: Runner) -> None:
        model = runner.model
        make_ticket(
            model,
            self.target_sparsity if self.target_sparsity >= 0 else None,
            self.target_scope,
            self.ticket_by,
            torch.Generator().manual_seed(runner.seed or 0),
        )
        empty = mask_report(model).empty
        if empty:
            runner.logger.warning(
                f'the ticket keeps nothing of {empty}: raise the initial '
                'value of the logits (mask_init), lower the penalty, or set '
                "target_sparsity with target_scope='layer'"
            )

    @staticmethod
    def _restart_average(runner: Runner) -> None:
        """An average over two stages would be of neither."""
        for hook in runner.hooks:
            average = getattr(hook, 'ema_model', None)
            if average is not None and hasattr(average, 'steps'):
                average.steps.zero_()  # the next update copies all

    def before_test_epoch(self, runner: Runner) -> None:
        """Use what ``test_masks`` says, and say so."""
        masks = self._masks(runner)
        if self.test_masks != 'as_saved':
            for mask in masks:
                mask.ticket = self.test_masks == 'ticket'
        kind = f'soft masks at temperature {masks[0].temperature:g}'
        if masks[0].ticket:
            kind = 'the ticket'
        report = mask_report(runner.model)
        runner.logger.info(
            f'{type(self).__name__} tests {kind}; a ticket of these masks '
            f'removes {report.sparsity:.2%} of the masked weights'
        )

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: Dict[str, Any]
    ) -> None:
        """Add the rewind point; averaged masks get their settings."""
        write_settings(runner.model, checkpoint)
        checkpoint[STATE] = dict(
            begun=self._begun, rewind_point=self._point.state_dict()
        )

    def after_load_checkpoint(
        self, runner: Runner, checkpoint: Dict[str, Any]
    ) -> None:
        """Take the rewind point over, if this is a resume."""
        if not runner._resume:
            return
        if STATE not in checkpoint:
            raise ValueError(
                'the checkpoint to resume from was not written with a '
                f'{type(self).__name__}; use load_from to begin with its '
                'weights'
            )
        state = checkpoint[STATE]
        self._begun = int(state['begun'])
        self._point.load_state_dict(state['rewind_point'])

    def _masks(self, runner: Runner) -> List[SoftMask]:
        masks = [
            item.mask
            for item in named_masks(runner.model)
            if isinstance(item.mask, SoftMask)
        ]
        if not masks:
            raise ValueError(
                f'{type(self).__name__}: the model has no soft masks; use '
                "conv_cfg=dict(type='mask_plugins.SoftMaskConv2d') or "
                'mask_plugins.MaskedModel with mask_plugins.SoftMask'
            )
        return masks


def _forget(optim_wrapper) -> None:
    """Clear momentum and other state of all optimizers."""
    optimizer = getattr(optim_wrapper, 'optimizer', None)
    if optimizer is None:  # an OptimWrapperDict
        for _, wrapper in optim_wrapper.items():
            _forget(wrapper)
        return
    optimizer.state.clear()
