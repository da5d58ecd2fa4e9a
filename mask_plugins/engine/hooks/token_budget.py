# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Drive a run whose batches have a budget of tokens."""

from itertools import islice, takewhile
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from mmengine.dist import get_world_size
from mmengine.optim import ReduceOnPlateauParamScheduler
from mmengine.runner import Runner
from torch import nn

from mask_plugins.core.tokens import budget_batch_size, keep_count
from mask_plugins.datasets.samplers import budget_sampler_of
from mask_plugins.datasets.samplers.token_budget_sampler import BudgetStep

from ..optimizers.no_weight_decay import optimizers_of, schedulers_of


def tokens_of(module: nn.Module, drop_ratio: float) -> Optional[int]:
    """Tokens that a backbone keeps, None if it does not say its grid."""
    grid = getattr(module, 'patch_resolution', None)
    if grid is None:
        return None
    prefix = getattr(module, 'num_extra_tokens', 1)
    count_on = getattr(module, 'count_on', 'tokens')
    tokens = grid[0] * grid[1] + prefix
    return keep_count(tokens, drop_ratio, prefix, count_on)


class TokenBudget:
    """The sizes of the batches, and what follows them through the run.

    Lengths in a config are of full batches, as without a budget: those of the
    schedule, of parameter schedulers that count iterations, and
    ``max_iters``. So every image is trained at the drop ratio and the learning
    rate of its place in the run, whatever the batches are. The iterations of
    the run, which its log, its checkpoints and its intervals count, are the
    batches that there are.

    Args:
        runner (Runner): Before it has loaded or trained anything.
        module (nn.Module): What drops the tokens.
        scale_lr (bool): Scale the learning rate with the batch.

    Raises:
        TypeError: If the loader has another batch sampler.
        ValueError: If the module has no ``patch_resolution`` or lets tokens
            back in between its blocks, the ranks get unlike shares of the
            data, or the rate is to be scaled under
            gradient accumulation.
    """

    def __init__(
        self, runner: Runner, module: nn.Module, scale_lr: bool
    ) -> None:
        loop = runner.train_loop
        sampler = budget_sampler_of(loop.dataloader)
        if sampler is None:
            raise TypeError(
                "batch='budget' needs train_dataloader.batch_sampler="
                "dict(type='mask_plugins.TokenBudgetSampler')"
            )
        if tokens_of(module, 0.0) is None:
            name = type(module).__name__
            raise ValueError(f"batch='budget': {name} has no patch_resolution")
        returned = getattr(module, 'return_after', None)
        if returned is not None:
            raise ValueError(
                "batch='budget' needs a backbone with return_after=None, "
                f'got {returned}: its later blocks run on all tokens'
            )
        even = getattr(sampler.sampler, 'round_up', True)
        if get_world_size() > 1 and not even:
            raise ValueError("batch='budget' needs round_up=True, got False")
        every = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if scale_lr and every > 1:
            raise ValueError(
                'scale_lr must be False under gradient accumulation, got True '
                f'with accumulative_counts={every}'
            )
        self.sampler, self.module, self.scale_lr = sampler, module, scale_lr
        self._by_iter = hasattr(loop, 'dataloader_iterator')
        # What the config says, in full batches.
        self.length = loop.max_epochs * sampler.full_batches
        if self._by_iter:
            self.length = loop.max_iters
        self._sizes: Dict[float, int] = {}
        self._next: Optional[Tuple[int, int]] = None
        self._steps: Iterator[BudgetStep] = iter(())
        self.step = BudgetStep(0, 0, 0)
        self._rates: List[Tuple[dict, Any]] = []

    def size(self, drop_ratio: float) -> int:
        """Images of a batch at a drop ratio."""
        if drop_ratio not in self._sizes:
            counts = [tokens_of(self.module, d) for d in (0.0, drop_ratio)]
            made = self.sampler.batch_size, *counts
            self._sizes[drop_ratio] = budget_batch_size(
                *made, self.sampler.max_batch_size
            )
        return self._sizes[drop_ratio]

    def start(self, runner: Runner, value: Callable[[int], float]) -> None:
        """Give the sampler its sizes and the loop its length.

        Args:
            runner (Runner): The same.
            value (Callable[[int], float]): The drop ratio at a position.
        """
        loop, sampler = runner.train_loop, self.sampler
        sampler.follow(
            lambda position: self.size(value(position)), self.length
        )
        if not self._by_iter:
            loop._max_iters = sampler.first_step(loop.max_epochs)
            return
        inside = takewhile(
            lambda step: step.position < self.length, sampler.all_steps()
        )
        loop._max_iters = sum(1 for _ in inside)
        # Its workers have asked for batches already.
        loop.dataloader_iterator = type(loop.dataloader_iterator)(
            loop.dataloader
        )

    def begin(self, runner: Runner, batch_idx: int) -> None:
        """Find the batch of this iteration; scale the rate."""
        place = runner.epoch, batch_idx
        if place != self._next:
            steps = self.sampler.all_steps(runner.epoch)
            self._steps = islice(steps, batch_idx, None)
        self._next = runner.epoch, batch_idx + 1
        self.step, hub = next(self._steps), runner.message_hub
        hub.update_scalar('train/batch_size', self.step.size)
        if self.scale_lr:
            scale = self.step.size / self.sampler.batch_size
            optimizers = optimizers_of(runner.optim_wrapper)
            groups = [g for o in optimizers for g in o.param_groups]
            self._rates = [(group, group['lr']) for group in groups]
            for group, rate in self._rates:
                group['lr'] = rate * scale
            for name, rates in runner.optim_wrapper.get_lr().items():
                hub.update_scalar(f'train/{name}', rates[0])

    def end(self, runner: Runner) -> None:
        """Give the rate back, and step the schedulers but for one step.

        That one is ``ParamSchedulerHook``'s.
        """
        for group, rate in self._rates:
            group['lr'] = rate
        self._rates = []
        by_iter = [
            scheduler
            for scheduler in schedulers_of(runner.param_schedulers)
            if not scheduler.by_epoch
            and not isinstance(scheduler, ReduceOnPlateauParamScheduler)
        ]
        for _ in range(self.step.advance - 1):
            for scheduler in by_iter:
                scheduler.step()
