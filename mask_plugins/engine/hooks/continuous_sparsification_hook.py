# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Continuous Sparsification: rounds of search, then a rewound ticket."""

from typing import Any, Dict, List, Optional, Tuple, Union

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.core.weights import SoftMask, mask_report, named_masks
from mask_plugins.core.weights.rewind_point import RewindPoint
from mask_plugins.core.weights.sparsification_plan import SparsificationPlan
from mask_plugins.core.weights.ticket import CRITERIA, SCOPES, make_ticket
from mask_plugins.models.penalized_model import add_mask_penalty
from mask_plugins.registry import HOOKS

from .attribute_target import unwrap

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
    - before epoch ``rewind_epoch`` of the first round all that is no mask is
      kept (it is in the checkpoints), and the ticket phase begins with it;
    - the ticket is 1[s > 0] (or has an exact sparsity), its logits are frozen.

    Rates that start anew per stage are
    :class:`mask_plugins.engine.optimizers.StagewiseMultiStepLR`'s business.

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
        TypeError, ValueError: If an argument is not one of the allowed.
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
        if not 0 <= rewind_epoch < epochs_per_round:
            raise ValueError(
                'rewind_epoch must be in [0, epochs_per_round) = '
                f'[0, {epochs_per_round}), got {rewind_epoch!r}'
            )
        if prune_temperature != 'end' and not (
            isinstance(prune_temperature, (int, float))
            and prune_temperature >= 1
        ):
            raise ValueError(
                "prune_temperature must be 'end' or a number of at least 1, "
                f'got {prune_temperature!r}'
            )
        if target_sparsity >= 1:
            raise ValueError(
                'target_sparsity must be in [0, 1), or below 0 for none, got '
                f'{target_sparsity!r}'
            )
        if ticket_by != 'logit' and target_sparsity < 0:
            raise ValueError(
                f'ticket_by={ticket_by!r} needs a target_sparsity'
            )
        given = dict(
            reset_momentum=reset_momentum,
            target_scope=target_scope,
            ticket_by=ticket_by,
            test_masks=test_masks,
        )
        for name, value in given.items():
            if value not in self.CHOICES[name]:
                raise ValueError(
                    f'{name} must be one of {self.CHOICES[name]}, got '
                    f'{value!r}'
                )
            setattr(self, name, value)
        self.by_epoch = by_epoch
        self.rewind_epoch = rewind_epoch
        self.penalty = penalty
        self.penalty_reduction = penalty_reduction
        self.prune_temperature = prune_temperature
        self.rewind_each_round = rewind_each_round
        self.target_sparsity = target_sparsity
        self._point = RewindPoint()
        # Stages whose beginning is done: what is done there is done once.
        self._begun = 0
        self._temperature: Optional[float] = None

    # ------------------------------------------------------------- training
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
        self._check_ddp(runner)
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
            if self._point.take(unwrap(runner.model)):
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
            self._temperature = self.plan.temperature(step, steps)
            self._set(runner)
        hub = runner.message_hub
        mask = self._masks(runner)[0]
        hub.update_scalar('train/temperature', float(mask.temperature))
        hub.update_scalar('train/stage', stage)
        if batch_idx == 0:
            report = mask_report(unwrap(runner.model))
            hub.update_scalar('train/density', report.density)
            hub.update_scalar('train/soft_density', report.soft_density)

    @master_only
    def after_train_epoch(self, runner: Runner) -> None:
        """Say how much is kept."""
        stage, epoch, ticket = self.plan.position(runner.epoch)
        report = mask_report(unwrap(runner.model))
        name = 'ticket' if ticket else f'round {stage + 1}/{self.plan.rounds}'
        runner.logger.info(
            f'{name}, epoch {epoch + 1}: kept {report.density:.2%} of the '
            f'masked weights (mean of the masks {report.soft_density:.2%})'
        )

    # --------------------------------------------------------------- stages
    def _begin_stage(self, runner: Runner, stage: int) -> None:
        model = unwrap(runner.model)
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
        name = 'the ticket phase' if ticket else f'round {stage + 1}'
        runner.logger.info(
            f'{name} begins at epoch {runner.epoch + 1}: '
            f'{mask_report(model).sparsity:.2%} of the masked weights have '
            'logits that a ticket would remove'
        )

    def _make_ticket(self, runner: Runner) -> None:
        model = unwrap(runner.model)
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

    def _restart_average(self, runner: Runner) -> None:
        """An average over two stages would be of neither."""
        for hook in runner.hooks:
            average = getattr(hook, 'ema_model', None)
            if average is not None and hasattr(average, 'steps'):
                average.steps.zero_()  # the next update copies all

    def _check_ddp(self, runner: Runner) -> None:
        model = runner.model
        unused = getattr(model, 'find_unused_parameters', True)
        if not unused and self.plan.ticket_epochs:
            raise ValueError(
                'in the ticket phase the logits get no gradient, which '
                'DistributedDataParallel has to be told: set '
                'find_unused_parameters=True in the config'
            )

    # ----------------------------------------------------------- evaluation
    def before_val_epoch(self, runner: Runner) -> None:
        """Undo what a swap of averaged buffers has done."""
        self._set(runner)

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        """And once more, as buffers are swapped back."""
        self._set(runner)

    def before_test_epoch(self, runner: Runner) -> None:
        """Use what ``test_masks`` says, and say so."""
        masks = self._masks(runner)
        if self.test_masks != 'as_saved':
            for mask in masks:
                mask.ticket = self.test_masks == 'ticket'
        b = float(masks[0].temperature)
        kind = f'soft masks at temperature {b:g}'
        if masks[0].ticket:
            kind = 'the ticket'
        report = mask_report(unwrap(runner.model))
        runner.logger.info(
            f'{type(self).__name__} tests {kind}; a ticket of these masks '
            f'removes {report.sparsity:.2%} of the masked weights'
        )

    # ------------------------------------------------------- save and resume
    def before_save_checkpoint(
        self, runner: Runner, checkpoint: Dict[str, Any]
    ) -> None:
        """Add the rewind point; averaged masks are set right."""
        checkpoint[STATE] = dict(
            begun=self._begun, rewind_point=self._point.state_dict()
        )
        # EMAHook exchanges the two sets of weights, scheduled values too.
        for prefix, mask in self._named(runner):
            for key in ('setting_bits', 'ticket_flag'):
                value = getattr(mask, key)
                for part, start in (
                    ('state_dict', ''),
                    ('ema_state_dict', 'module.'),
                ):
                    name = f'{start}{prefix}.{key}'
                    if name in checkpoint.get(part, ()):
                        checkpoint[part][name] = value.detach().clone()

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

    # ---------------------------------------------------------------- parts
    def _named(self, runner: Runner) -> List[Tuple[str, SoftMask]]:
        """State-dict prefix and mask, tied weights under each name."""
        model = unwrap(runner.model)
        return [
            (path, module)
            for path, module in model.named_modules(remove_duplicate=False)
            if isinstance(module, SoftMask)
        ]

    def _masks(self, runner: Runner) -> List[SoftMask]:
        masks = [
            item.mask
            for item in named_masks(unwrap(runner.model))
            if isinstance(item.mask, SoftMask)
        ]
        if not masks:
            raise ValueError(
                f'{type(self).__name__}: the model has no soft masks; use '
                "conv_cfg=dict(type='mask_plugins.SoftMaskConv2d') or "
                'mask_plugins.MaskedModel with mask_plugins.SoftMask'
            )
        return masks

    def _set(self, runner: Runner) -> None:
        if self._temperature is None:
            return
        for mask in self._masks(runner):
            mask.temperature = self._temperature
            mask.ticket_flag.fill_(mask.ticket)


def _forget(optim_wrapper) -> None:
    """Clear momentum and other state of all optimizers."""
    optimizer = getattr(optim_wrapper, 'optimizer', None)
    if optimizer is None:  # an OptimWrapperDict
        for _, wrapper in optim_wrapper.items():
            _forget(wrapper)
        return
    optimizer.state.clear()
