# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What patch sampling saves, and what it costs."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Dict, Iterator, Optional, Sequence

import torch

from mask_plugins.core.schedules import CyclicSchedule
from mask_plugins.core.tokens import block_macs, keep_count
from mask_plugins.models.backbones import PSSVisionTransformer
from mask_plugins.utils.checks import check_choice, check_int
from mask_plugins.utils.timing import peak_memory

from .benchmark import Benchmark
from .bias_gather import GATHER_DROP, measure_bias_gather
from .pss_others import OTHERS
from .pss_steps import PATCH_SIZE, PSSStepBuilder
from .statistics import spread, spread_ms, target

# ImageNet in batches of 512: the published epoch.
EPOCH_ITERS = 2502


@dataclass
class PSSBenchmark(Benchmark):
    """Step times of PSS, interleaved in one process, and their ratios.

    The steps are :class:`PSSStepBuilder`'s. The MAC-ideal of a ratio is the
    time at drop 0, scaled by the multiply-accumulates of the blocks:
    :math:`f(n) = 12 n C^2 + 2 n^2 C` over n tokens of width C.

    Args:
        archs (Sequence[str]): Names of ``PSSVisionTransformer``'s sizes.
        image_size (int): Pixels. Defaults to 224.
        batch_size (int): Defaults to 8.
        drop_ratios (Sequence[float]): 0 is always measured.
        modes (Sequence[str]): Of ``'train'`` and ``'infer'``.
        layers (int, optional): Blocks to build, None for all of the size's.
            Defaults to None.
        gather_batch_size (int): Batch of the bias look-up's measurements at
            ViT-B width; 0 leaves them out. Defaults to 16.
        gather_layers (int, optional): Blocks of those measurements, None for
            ``layers``. Defaults to None.
        dtype (str): ``'fp32'``, or ``'bf16'`` or ``'fp16'`` by autocast.
            Defaults to 'fp32'.
        compiled (bool): Use ``torch.compile``. Defaults to False.
        others (Sequence[str]): More models, of ``'original'`` (the original's
            form of attention), ``'patch_dropout'`` (timm's) and ``'tome'``
            (token merging). Defaults to ().
        **timing: See :class:`Benchmark`.
    """

    MODES: ClassVar = ('train', 'infer')

    archs: Sequence[str] = ('small', 'base')
    image_size: int = 224
    batch_size: int = 8
    drop_ratios: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8)
    modes: Sequence[str] = MODES
    layers: Optional[int] = None
    gather_batch_size: int = 16
    gather_layers: Optional[int] = None
    dtype: str = 'fp32'
    compiled: bool = False
    others: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for arch in self.archs:
            check_choice('arch', arch, tuple(PSSVisionTransformer.arch_zoo))
        for mode in self.modes:
            check_choice('modes', mode, self.MODES)
        for other in self.others:
            check_choice('others', other, OTHERS)
        check_int('batch_size', self.batch_size, low=1)
        check_int('gather_batch_size', self.gather_batch_size, low=0)
        for name in ('layers', 'gather_layers'):
            check_int(name, getattr(self, name), low=1, optional=True)
        self.gather_layers = self.gather_layers or self.layers
        self.drop_ratios = sorted({0.0, *map(float, self.drop_ratios)})
        self.builder = PSSStepBuilder(
            self.device, self.dtype, seed=self.seed,
            image_size=self.image_size, compiled=self.compiled,
        )  # fmt: skip
        self.counts = {
            ratio: keep_count(self.builder.tokens, ratio)
            for ratio in self.drop_ratios
        }

    def settings(self) -> dict:
        """What was asked for."""
        return dict(super().settings(), patch_size=PATCH_SIZE)

    def measure(self) -> dict:
        """``steps``, ``schedule``, ``gather`` and ``lookup``."""
        if self.compiled:
            # one graph per ratio, mode and model
            limit = 8 * len(self.drop_ratios)
            torch._dynamo.config.recompile_limit = limit
        result = dict(steps=[], schedule=[], gather=None, lookup=None)
        for arch in self.archs:
            self._measure_arch(arch, result)
        if self.gather_batch_size:
            gather, lookup = measure_bias_gather(self)
            result.update(gather=gather, lookup=lookup)
        return result

    def _measure_arch(self, arch: str, result: dict) -> None:
        builder, settings = self.builder, self.builder.arch(arch, self.layers)
        models = dict(
            pss=builder.finish(builder.pss(settings)),
            random=builder.finish(builder.random_drop(settings)),
        )
        for other in self.others:
            models[other] = builder.finish(builder.other(other, settings))
        cases = {}
        for ratio in self.drop_ratios:
            for name, model in models.items():
                built = builder.cases(model, self.batch_size, ratio)
                for mode in self.modes:
                    cases[name, mode, ratio] = built[mode]
        times = self.time(f'ViT {arch}', cases)
        macs = {
            ratio: block_macs(count, settings['embed_dims'])
            for ratio, count in self.counts.items()
        }
        ideals = {ratio: macs[ratio] / macs[0.0] for ratio in macs}
        for (name, mode, ratio), seconds in times.items():
            row = dict(
                arch=arch,
                model=name,
                mode=mode,
                drop_ratio=ratio,
                tokens=self.counts[ratio],
                ms=spread_ms(seconds),
                **_to_ideal(seconds / times[name, mode, 0.0], ideals[ratio]),
                peak_mib=peak_memory(cases[name, mode, ratio], self.device),
            )
            if name == 'pss':
                row['to_random'] = spread(
                    seconds / times['random', mode, ratio]
                )
            result['steps'].append(row)
        shares = cyclic_shares()
        if 'train' not in self.modes or set(shares) - set(self.drop_ratios):
            return
        # The mean step over the cyclic schedule.
        ideal = sum(share * ideals[ratio] for ratio, share in shares.items())
        for name in models:
            mean = sum(
                share * times[name, 'train', ratio]
                for ratio, share in shares.items()
            )
            row = dict(
                arch=arch,
                model=name,
                shares={str(ratio): share for ratio, share in shares.items()},
                **_to_ideal(mean / times[name, 'train', 0.0], ideal),
            )
            result['schedule'].append(row)

    def targets(self, result: dict) -> Iterator[dict]:
        """Of the schedule, and of the bias look-up."""
        for row in result['schedule']:
            if row['model'] == 'pss':
                yield target(
                    f'ViT {row["arch"]}: step over the cyclic schedule, '
                    'relative to MAC-ideal',
                    row['to_ideal']['median'],
                    1.05,
                )
        gather = result['gather']
        if gather:
            yield target(
                'share of the bias look-up in a step at drop '
                f'{GATHER_DROP}, batch {gather["batch_size"]}, ViT-B width',
                max(gather['share']['median'], gather['share_of_lookups']),
                0.05,
            )


def _to_ideal(relative, ideal: float) -> dict:
    """Times relative to those at drop 0, and what their operations say."""
    return dict(
        to_drop_0=spread(relative),
        mac_ideal=ideal,
        to_ideal=spread(relative / ideal),
    )


def cyclic_shares() -> Dict[float, float]:
    """Share of the iterations that the cyclic schedule spends at each ratio.

    Returns:
        dict[float, float]: By drop ratio, highest first.

    Examples:
        >>> [round(share, 2) for share in cyclic_shares().values()]
        [0.11, 0.22, 0.22, 0.22, 0.22]
    """
    schedule = CyclicSchedule(0.8, 0.0, quantum=0.2, plateau='end')
    schedule = schedule.resolve(10 * EPOCH_ITERS, EPOCH_ITERS)
    counts = Counter(schedule.value(t) for t in range(EPOCH_ITERS))
    return {r: counts[r] / EPOCH_ITERS for r in sorted(counts, reverse=True)}
