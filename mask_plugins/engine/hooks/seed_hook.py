# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Make every random number a function of (seed, rank, place)."""

from functools import partial

from mmengine.dataset import DefaultSampler, InfiniteSampler, RepeatDataset
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader, SequentialSampler

from mask_plugins.datasets.samplers import DrawSampler
from mask_plugins.datasets.traverse import samplers_of, walk_datasets
from mask_plugins.functional import seeding
from mask_plugins.registry import HOOKS

from ..randomness.resumable_iterator import PassIterator
from ..randomness.seed_checks import seed_problems, seed_samples_of


@HOOKS.register_module()
class SeedHook(Hook):
    """Stateless randomness, so that a resumed run is the uninterrupted run.

    - The global generators are seeded from (seed, rank, epoch or iteration)
      before every epoch and iteration, and around validation and test:
      dropout, stochastic depth, mixup and whatever else draws there.
    - The samplers get the seed and the epoch: data order is a function of
      both, also under ``diff_rank_seed`` and when ``DistSamplerSeedHook`` is
      missing.
    - :class:`mask_plugins.SeedSample`, the first transform of the train
      pipeline, gets the seed and the epoch and draws the augmentation of a
      sample from (seed, epoch, sample index): the number of workers does not
      matter.

    Epoch and iteration loops. Where a config makes exactness impossible, the
    hook warns once and says what to change. It costs about 20 microseconds
    per iteration, and SeedSample as much per sample.

    Examples:
        >>> custom_hooks = [dict(type='mask_plugins.SeedHook')]
        >>> HOOKS.build(custom_hooks[0]).priority
        'VERY_HIGH'
    """

    # Before every hook that may draw random numbers.
    priority = 'VERY_HIGH'

    # ------------------------------------------------------------- training
    def before_train(self, runner: Runner) -> None:
        """Seed samplers, find SeedSample, warn about what cannot be exact."""
        loop, loader = runner.train_loop, runner.train_dataloader
        self._number_draws(runner, loader)
        by_iter = hasattr(loop, 'dataloader_iterator')
        problems = list(seed_problems(loader, by_iter))
        if runner._randomness_cfg.get('seed') is None:
            problems.append(
                f'the seed {runner.seed} was drawn at random: a run killed '
                'before its first checkpoint cannot be repeated. Set '
                'randomness=dict(seed=0)'
            )
        every = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if len(loader) % every:
            problems.append(
                f'accumulative_counts={every} does not divide the '
                f'{len(loader)} iterations of an epoch: gradients are lost'
            )
        self._start_pass(runner, runner.epoch)
        if isinstance(loop, IterBasedTrainLoop):
            samplers = samplers_of(loader)
            infinite = [s for s in samplers if isinstance(s, InfiniteSampler)]
            for sampler in infinite:
                # Workers of mmengine's iterator have drawn from it already.
                sampler.indices = sampler._indices_of_rank()
            begin, done = partial(self._start_pass, runner), runner.iter
            whole = not infinite
            loop.dataloader_iterator = PassIterator(loader, begin, done, whole)
        elif by_iter:
            problems.append(
                f'{type(loop).__name__} does not say when a pass over the '
                'data begins. Use IterBasedTrainLoop or EpochBasedTrainLoop'
            )
        for problem in dict.fromkeys(problems):
            runner.logger.warning(f'{type(self).__name__}: {problem}.')

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the generators, the samplers and the samples."""
        self._seed(runner, seeding.EPOCH, runner.epoch)
        if not hasattr(runner.train_loop, 'dataloader_iterator'):
            self._start_pass(runner, runner.epoch)

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Seed the generators, whatever loading the batch has drawn."""
        self._seed(runner, seeding.ITERATION, runner.iter)

    # ----------------------------------------------------------- evaluation
    def before_val_epoch(self, runner: Runner) -> None:
        """Seed by the iteration, so that what ran before does not matter."""
        self._seed(runner, seeding.VALIDATION, runner.iter)
        self._seed_samples(runner, runner.val_dataloader, 0)

    def before_test_epoch(self, runner: Runner) -> None:
        """Seed, so that every test draws the same numbers."""
        self._seed(runner, seeding.TEST, 0)
        self._seed_samples(runner, runner.test_dataloader, 0)

    # ---------------------------------------------------------------- parts
    @staticmethod
    def _base_seed(runner: Runner) -> int:
        """The seed that all ranks share."""
        # With diff_rank_seed mmengine has added the rank. Ours are mixed
        # with the rank anyway, and data order needs one seed for all.
        diff = runner._randomness_cfg.get('diff_rank_seed', False)
        return runner.seed - get_rank() if diff else runner.seed

    def _seed(self, runner: Runner, stream: int, step: int) -> None:
        base, rank = self._base_seed(runner), get_rank()
        seeds = seeding.derive_seeds(base, stream, rank, step)
        seeding.seed_generators(seeds, cuda=True)

    def _start_pass(self, runner: Runner, epoch: int) -> None:
        loader = runner.train_dataloader
        for sampler in samplers_of(loader):
            # Not through a DrawSampler's look-through: it has no seed itself.
            if 'seed' in vars(sampler):
                sampler.seed = self._base_seed(runner)
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)
        self._seed_samples(runner, loader, epoch)

    def _seed_samples(
        self, runner: Runner, loader: DataLoader, epoch: int
    ) -> None:
        for number, transform in enumerate(seed_samples_of(loader.dataset)):
            transform.set(self._base_seed(runner), epoch, number)

    def _number_draws(self, runner: Runner, loader: DataLoader) -> None:
        """Tell the draws of a sample apart where it is drawn repeatedly."""
        # mmpretrain's vis_scheduler has a loader that has none.
        batch_sampler = getattr(loader, 'batch_sampler', None)
        sampler = getattr(batch_sampler, 'sampler', None)
        datasets = [dataset for dataset, _ in walk_datasets(loader.dataset)]
        repeated = any(isinstance(d, RepeatDataset) for d in datasets)
        once = isinstance(sampler, (DefaultSampler, SequentialSampler))
        numbered = sampler is None or isinstance(sampler, DrawSampler)
        if not numbered and (repeated or not once):
            batch_sampler.sampler = DrawSampler(sampler)
