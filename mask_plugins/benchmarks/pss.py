# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What patch sampling saves, and what it costs."""

from collections import Counter
from typing import Dict, List, Optional, Sequence, Tuple

import torch

from mask_plugins.core.schedules import CyclicSchedule
from mask_plugins.core.tokens import block_macs, keep_count
from mask_plugins.models.backbones import PSSVisionTransformer
from mask_plugins.utils.checks import check_choice, check_int
from mask_plugins.utils.timing import peak_memory

from .bias_gather import GATHER_DROP, measure_bias_gather
from .statistics import machine, ratios, spread, spread_ms, target
from .step_builder import StepBuilder
from .timer import Timer

# ImageNet in batches of 512: the published epoch.
EPOCH_ITERS = 2502


class PSSBenchmark:
    """Step times of PSS, interleaved in one process, and their ratios.

    The steps are :class:`StepBuilder`'s. The MAC-ideal of a ratio is the time
    at drop 0, scaled by the multiply-accumulates of the blocks:
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
        **timing: See :class:`Timer`.
    """

    MODES = ('train', 'infer')

    def __init__(
        self,
        archs: Sequence[str] = ('small', 'base'),
        image_size: int = 224,
        batch_size: int = 8,
        drop_ratios: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8),
        modes: Sequence[str] = MODES,
        layers: Optional[int] = None,
        gather_batch_size: int = 16,
        gather_layers: Optional[int] = None,
        dtype: str = 'fp32',
        compiled: bool = False,
        **timing,
    ) -> None:
        for arch in archs:
            check_choice('arch', arch, tuple(PSSVisionTransformer.arch_zoo))
        for mode in modes:
            check_choice('modes', mode, self.MODES)
        self.batch_size = check_int('batch_size', batch_size, low=1)
        self.gather_batch_size = check_int(
            'gather_batch_size', gather_batch_size, low=0
        )
        self.layers = check_int('layers', layers, low=1, optional=True)
        self.gather_layers = self.layers
        if gather_layers is not None:
            self.gather_layers = check_int(
                'gather_layers', gather_layers, low=1
            )
        self.time = Timer(**timing)
        device, seed = (self.time.options[key] for key in ('device', 'seed'))
        self.builder = StepBuilder(image_size, device, dtype, compiled, seed)
        self.drop_ratios = sorted({0.0, *map(float, drop_ratios)})
        self.counts = {
            ratio: keep_count(self.builder.tokens, ratio)
            for ratio in self.drop_ratios
        }
        self.archs = tuple(archs)
        self.modes = tuple(modes)

    # ------------------------------------------------------------------ run
    def run(self) -> dict:
        """Measure.

        Returns:
            dict: Plain data: ``settings``, ``machine``, ``steps``,
            ``schedule``, ``gather``, ``lookup`` and ``targets``.
        """
        torch.manual_seed(self.builder.seed)
        if self.builder.compiled:
            # one graph per ratio, mode and model
            limit = 8 * len(self.drop_ratios)
            torch._dynamo.config.recompile_limit = limit
        result = dict(
            settings=self.settings(),
            machine=machine(self.builder.device),
            steps=[],
            schedule=[],
        )
        for arch in self.archs:
            steps, schedule = self._measure_arch(arch)
            result['steps'] += steps
            result['schedule'] += schedule
        result.update(gather=None, lookup=None)
        if self.gather_batch_size:
            result['gather'], result['lookup'] = measure_bias_gather(
                self.builder,
                self.time,
                self.gather_batch_size,
                self.drop_ratios[1:],
                self.gather_layers,
            )
        result['targets'] = list(self._targets(result))
        return result

    def settings(self) -> dict:
        """What was asked for."""
        return dict(
            archs=list(self.archs),
            image_size=self.builder.image_size,
            patch_size=StepBuilder.PATCH_SIZE,
            batch_size=self.batch_size,
            gather_batch_size=self.gather_batch_size,
            gather_layers=self.gather_layers,
            layers=self.layers,
            dtype=self.builder.dtype,
            compiled=self.builder.compiled,
            **self.time.options,
        )

    # -------------------------------------------------------------- measure
    def _measure_arch(self, arch: str) -> Tuple[List[dict], List[dict]]:
        builder, settings = self.builder, self._arch(arch)
        models = dict(
            pss=builder.finish(builder.pss(settings)),
            random=builder.finish(builder.random_drop(settings)),
        )
        cases = {}
        for ratio in self.drop_ratios:
            for name, model in models.items():
                built = builder.cases(model, self.batch_size, ratio)
                for mode in self.modes:
                    cases[name, mode, ratio] = built[mode]
        times = self.time(f'ViT {arch}', cases)
        steps = []
        for (name, mode, ratio), seconds in times.items():
            full = times[name, mode, 0.0]
            ideal = self._macs(arch, ratio) / self._macs(arch, 0.0)
            to_full = ratios(seconds, full)
            row = dict(
                arch=arch,
                model=name,
                mode=mode,
                drop_ratio=ratio,
                tokens=self.counts[ratio],
                ms=spread_ms(seconds),
                to_drop_0=spread(to_full),
                mac_ideal=ideal,
                to_ideal=spread([r / ideal for r in to_full]),
                peak_mib=peak_memory(cases[name, mode, ratio], builder.device),
            )
            if name == 'pss':
                other = times['random', mode, ratio]
                row['to_random'] = spread(ratios(seconds, other))
            steps.append(row)
        schedule = []
        if 'train' in self.modes:
            schedule = [self._weigh(arch, name, times) for name in models]
        return steps, [row for row in schedule if row]

    def _arch(self, arch: str) -> dict:
        return self.builder.arch(arch, self.layers)

    def _macs(self, arch: str, ratio: float) -> float:
        settings = self._arch(arch)
        macs = block_macs(self.counts[ratio], settings['embed_dims'])
        return settings['num_layers'] * macs

    def _weigh(self, arch: str, name: str, times: Dict) -> Optional[dict]:
        """Mean step over the cyclic schedule, relative to drop 0."""
        shares = cyclic_shares()
        if set(shares) - set(self.drop_ratios):
            return None
        rounds = zip(*(times[name, 'train', ratio] for ratio in shares))
        weights = list(shares.values())
        mean = [sum(w * s for w, s in zip(weights, row)) for row in rounds]
        relative = ratios(mean, times[name, 'train', 0.0])
        ideal = sum(
            share * self._macs(arch, ratio) / self._macs(arch, 0.0)
            for ratio, share in shares.items()
        )
        return dict(
            arch=arch,
            model=name,
            shares={str(ratio): share for ratio, share in shares.items()},
            to_drop_0=spread(relative),
            mac_ideal=ideal,
            to_ideal=spread([r / ideal for r in relative]),
        )

    @staticmethod
    def _targets(result: dict):
        for row in result['schedule']:
            if row['model'] == 'pss':
                yield target(
                    f'ViT {row["arch"]}: step over the cyclic schedule, '
                    'relative to MAC-ideal',
                    row['to_ideal']['median'],
                    1.05,
                )
        if result['gather']:
            yield target(
                'share of the bias look-up in a step at drop '
                f'{GATHER_DROP}, batch {result["gather"]["batch_size"]}, '
                'ViT-B width',
                max(
                    result['gather']['share']['median'],
                    result['gather']['share_of_lookups'],
                ),
                0.05,
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
