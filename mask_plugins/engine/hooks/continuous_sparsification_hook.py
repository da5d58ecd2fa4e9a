# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Continuous Sparsification: rounds of search, then a rewound ticket."""

from typing import List, Union

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.core import weights
from mask_plugins.core.weights.rewind_point import RewindPoint
from mask_plugins.core.weights.sparsification_plan import SparsificationPlan
from mask_plugins.core.weights.ticket import (
    CRITERIA,
    SCOPES,
    check_pattern,
    make_ticket,
)
from mask_plugins.datasets.samplers import full_length, position_of
from mask_plugins.engine.optimizers.no_weight_decay import optimizers_of
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
        ticket_pattern (str): ``'2:4'``: the ticket keeps two of each four
            inputs, see :func:`mask_plugins.core.weights.make_ticket`.
            Defaults to ``'unstructured'``.
        test_masks (str): What ``mim test`` uses: ``'as_saved'``, ``'soft'`` or
            ``'ticket'``. Defaults to ``'as_saved'``.

    Raises:
        TypeError: If a number or a flag is not one.
        ValueError: If a number is out of range, ``reset_momentum``,
            ``target_scope``, ``ticket_by``, ``ticket_pattern`` or
            ``test_masks`` is unknown, ``ticket_by`` is given without a
            ``target_sparsity``, or that is not 0.5 for 2:4.

    Examples:
        >>> hook = ContinuousSparsificationHook(
        ...     rounds=2, epochs_per_round=5, ticket_epochs=5)
        >>> hook.plan.max_epochs
        15
    """

    # After EMAHook (50), whose swap comes first; before LoggerHook (60).
    priority = 55

    def __init__(
        self,
        rounds: int = 3,
        epochs_per_round: int = 85,
        ticket_epochs: int = 85,
        final_temperature: float = 200.0,
        by_epoch: bool = True,
        rewind_epoch: int = 2,
        penalty: float = 1e-8,
        prune_temperature: Union[str, float] = 'end',
        rewind_each_round: bool = False,
        reset_momentum: str = 'ticket',
        target_sparsity: float = -1.0,
        target_scope: str = 'global',
        ticket_by: str = 'logit',
        ticket_pattern: str = 'unstructured',
        test_masks: str = 'as_saved',
    ) -> None:
        self.plan = SparsificationPlan(
            rounds, epochs_per_round, ticket_epochs, final_temperature
        )
        check_int('rewind_epoch', rewind_epoch, 0, epochs_per_round - 1)
        if prune_temperature != 'end':
            check_number('prune_temperature', prune_temperature, low=1)
        check_number('target_sparsity', target_sparsity, None, 1, '[)')
        sparsity = target_sparsity if target_sparsity >= 0 else None
        self._sparsity = check_pattern(ticket_pattern, sparsity)
        if ticket_by != 'logit' and self._sparsity is None:
            raise ValueError(f'ticket_by={ticket_by} needs a target_sparsity')
        self.reset_momentum = check_choice(
            'reset_momentum', reset_momentum, ('ticket', 'stage', 'never')
        )
        self.target_scope = check_choice('target_scope', target_scope, SCOPES)
        self.ticket_by = check_choice('ticket_by', ticket_by, CRITERIA)
        self.test_masks = check_choice(
            'test_masks', test_masks, ('as_saved', 'soft', 'ticket')
        )
        self.by_epoch = check_bool('by_epoch', by_epoch)
        self.rewind_epoch = rewind_epoch
        self.penalty = check_number('penalty', penalty, low=0)
        self.prune_temperature = prune_temperature
        check_bool('rewind_each_round', rewind_each_round)
        self.rewind_each_round = rewind_each_round
        self.target_sparsity = target_sparsity
        self.ticket_pattern = ticket_pattern
        self._point = RewindPoint()
        # Stages whose beginning is done: what is done there is done once.
        self._begun = 0

    def before_train(self, runner: Runner) -> None:
        """Check the run, and put the penalty among the losses."""
        masks, plan = self._masks(runner), self.plan
        given = (plan.rounds, plan.epochs_per_round, plan.ticket_epochs)
        length = '{} * {} + {} = {}'.format(*given, plan.max_epochs)
        found = runner.max_epochs
        loop = runner.train_loop
        if hasattr(loop, 'dataloader_iterator'):
            raise ValueError('train_cfg must have by_epoch=True')
        if found != plan.max_epochs:
            raise ValueError(f'max_epochs must be {length}, got {found}')
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if len(loop.dataloader) % counts:
            raise ValueError(
                'accumulative_counts must divide the '
                f'{len(loop.dataloader)} iterations of an epoch, or gradients '
                f'of one stage get into the next, got {counts}'
            )
        wrapper_finds = getattr(runner.model, 'find_unused_parameters', True)
        # The logits of a ticket get no gradient.
        if plan.ticket_epochs and not wrapper_finds:
            raise ValueError('set find_unused_parameters=True in the config')
        if self.penalty:
            add_mask_penalty(weights.unwrap(runner.model), self.penalty)
        total = sum(mask.logits.numel() for mask in masks)
        said = f'{len(masks)} soft masks of {total:,} weights'
        runner.logger.info(f'{said}, {length} epochs')

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin a stage, keep the weights to rewind to."""
        stage, epoch, _ = self.plan.position(runner.epoch)
        if stage > self._begun:
            self._begin_stage(runner, stage)
            self._begun = stage
        if (stage, epoch) == (0, self.rewind_epoch):
            self._point.take(runner.model)

    def before_train_iter(self, runner: Runner, batch_idx: int, **_) -> None:
        """Set this iteration's temperature and log what the masks have."""
        stage, epoch, ticket = self.plan.position(runner.epoch)
        if not ticket:
            step, steps = epoch, self.plan.epochs_per_round
            if not self.by_epoch:
                loader = runner.train_dataloader
                length = full_length(loader)
                step = position_of(loader, runner.iter)
                step -= stage * steps * length
                steps *= length
            for mask in self._masks(runner):
                mask.temperature = self.plan.temperature(step, steps)
        temperature = self._masks(runner)[0].temperature
        scalars = dict(temperature=temperature, stage=stage)
        if batch_idx == 0:
            report = weights.mask_report(runner.model)
            scalars['density'] = report.density
            scalars['soft_density'] = report.soft_density
        for name, value in scalars.items():
            runner.message_hub.update_scalar(f'train/{name}', value)

    def _begin_stage(self, runner: Runner, stage: int) -> None:
        ticket = stage == self.plan.rounds
        what = f'round {stage + 1} begins, with logits pruned'
        if ticket:
            what = self._make_ticket(runner)
        else:
            b = self.prune_temperature
            b = self.plan.final_temperature if b == 'end' else float(b)
            for mask in self._masks(runner):
                mask.prune(b)
        if ticket or self.rewind_each_round:
            self._point.rewind(runner.model)
        forgets = ('stage', 'ticket') if ticket else ('stage',)
        if self.reset_momentum in forgets:
            for optimizer in optimizers_of(runner.optim_wrapper):
                optimizer.state.clear()
        # An average over two stages would be of neither.
        for hook in runner.hooks:
            average = getattr(hook, 'ema_model', None)
            if hasattr(average, 'steps'):
                average.steps.zero_()  # the next update copies all
        runner.logger.info(f'Epoch {runner.epoch + 1}: {what}')

    def _make_ticket(self, runner: Runner) -> str:
        make_ticket(
            runner.model,
            self._sparsity,
            self.target_scope,
            self.ticket_by,
            torch.Generator().manual_seed(runner.seed or 0),
            self.ticket_pattern,
        )
        report = weights.mask_report(runner.model)
        if report.empty:
            runner.logger.warning(
                f'the ticket keeps nothing of {report.empty}: raise mask_init,'
                " lower the penalty, or set a target with target_scope='layer'"
            )
        return f'the ticket removes {report.sparsity:.2%} of masked weights'

    def before_test_epoch(self, runner: Runner) -> None:
        """Use what ``test_masks`` says, and say so."""
        masks = self._masks(runner)
        if self.test_masks != 'as_saved':
            for mask in masks:
                mask.ticket = self.test_masks == 'ticket'
        kind = f'soft masks at temperature {masks[0].temperature:g}'
        kind = 'the ticket' if masks[0].ticket else kind
        share = weights.mask_report(runner.model).sparsity
        runner.logger.info(f'tests {kind}; a ticket removes {share:.2%}')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the rewind point; averaged masks get their settings."""
        weights.write_settings(runner.model, checkpoint)
        point = self._point.state_dict()
        checkpoint[STATE] = dict(begun=self._begun, rewind_point=point)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the rewind point over, if this is a resume."""
        if not runner._resume:
            return
        if STATE not in checkpoint:
            raise ValueError(f'the checkpoint has no {STATE}: use load_from')
        state = checkpoint[STATE]
        self._begun = int(state['begun'])
        self._point.load_state_dict(state['rewind_point'])

    def _masks(self, runner: Runner) -> List[weights.SoftMask]:
        found = [item.mask for item in weights.named_masks(runner.model)]
        masks = [mask for mask in found if isinstance(mask, weights.SoftMask)]
        if not masks:
            raise ValueError(
                'the model has no soft masks: use mask_plugins.MaskedModel'
            )
        return masks
