# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What masks of weights cost, and what they save."""

from dataclasses import dataclass
from typing import ClassVar, Dict, Iterator, List, Optional, Sequence

import numpy as np

from mask_plugins.core.weights import named_masks
from mask_plugins.utils.checks import check_choice, check_int
from mask_plugins.utils.timing import peak_memory

from .benchmark import Benchmark
from .mask_adapters import measure_adapters
from .statistics import spread, spread_ms, target
from .weight_mask_costs import (
    COPY_BYTES,
    SCORE,
    SOFT,
    copy_case,
    held_bytes,
)
from .weight_mask_steps import MaskStepBuilder, torch_only

# The largest ratio of a masked to the dense training step: soft, score masks.
STEP_LIMITS = dict(
    resnet18=(1.08, 1.04), resnet50=(1.10, 1.10), resnet20=(1.04, 1.04)
)
# The same where a batch is so small that masks weigh more.
SMALL_BATCH, SMALL_LIMITS = 8, dict(resnet18=(1.25, 1.12))


@dataclass
class WeightMaskBenchmark(Benchmark):
    """Training steps with and without masks, interleaved in one process.

    The steps are :class:`MaskStepBuilder`'s; what masks cannot cost less
    than is derived in
    :mod:`mask_plugins.benchmarks.weight_mask_costs`.

    Args:
        archs (Sequence[str]): Of ``MaskStepBuilder.ARCHS``. Defaults to all.
        batch_size (int, optional): Images per step. Defaults to None: 32, and
            128 for ResNet-20.
        image_size (int, optional): Pixels. Defaults to None: 112, and 32 for
            ResNet-20.
        dtype (str): ``'fp32'``, or ``'bf16'`` or ``'fp16'`` by autocast.
            Defaults to 'fp32'.
        channels_last (bool): Memory format. Defaults to False.
        **timing: See :class:`Benchmark`.

    Raises:
        ValueError: If a network, ``dtype`` or ``clock`` is unknown, or a size
            too small.

    Examples:
        >>> benchmark = WeightMaskBenchmark(archs=['resnet20'], batch_size=4)
        >>> benchmark.sizes
        {'resnet20': (4, 32)}
    """

    ARCHS: ClassVar = MaskStepBuilder.ARCHS

    archs: Sequence[str] = tuple(ARCHS)
    batch_size: Optional[int] = None
    image_size: Optional[int] = None
    dtype: str = 'fp32'
    channels_last: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for arch in self.archs or [None]:
            check_choice('archs', arch, tuple(self.ARCHS))
        # A norm over one image and one pixel has no variance.
        check_int('batch_size', self.batch_size, low=2, optional=True)
        check_int('image_size', self.image_size, low=8, optional=True)
        self.builder = MaskStepBuilder(
            self.device, self.dtype, self.channels_last, self.seed
        )
        self.sizes = {
            arch: (self.batch_size or size, self.image_size or pixels)
            for arch, (size, pixels) in self.ARCHS.items()
            if arch in self.archs
        }

    def settings(self) -> dict:
        """What was asked for."""
        return dict(
            super().settings(),
            batch_sizes={arch: size[0] for arch, size in self.sizes.items()},
            image_sizes={arch: size[1] for arch, size in self.sizes.items()},
            copy_bytes=COPY_BYTES,
        )

    def measure(self) -> dict:
        """``steps`` (training), ``inference`` and ``adapters``."""
        result = dict(steps=[], inference=[], adapters=[])
        for arch in self.archs:
            result['steps'] += self._measure_steps(arch)
            cases = self.builder.cases(arch, *self.sizes[arch])
            times = self.time(f'{arch}, inference', cases, more=2)
            result['inference'] += [_row(arch, kind, times) for kind in cases]
            found = measure_adapters(
                self.builder.network(arch),
                self.builder.network(arch, 'score'),
                lambda cases, what=f'{arch}, adapters': self.time(what, cases),
            )
            result['adapters'].append(dict(arch=arch, **found))
        return result

    def _measure_steps(self, arch: str) -> List[dict]:
        builder, sizes = self.builder, self.sizes[arch]
        nets = {k: builder.training(arch, k, *sizes) for k in builder.KINDS}
        cases = {kind: net.case for kind, net in nets.items()}
        times = self.time(f'{arch}, training', cases)
        # Short, so that they can be repeated more often.
        parts = {
            kind: builder.operations(net.model)
            for kind, net in nets.items()
            if kind != 'dense' and kind == _alone(kind)
        }
        parts.update(
            {k: torch_only(c) for k, c in parts.items() if 'torch' in k}
        )
        parts['copy'] = copy_case(self.device)
        alone = self.time(f'{arch}, masks alone', parts, more=3)
        speed = 2 * COPY_BYTES / float(np.median(alone['copy']))
        del parts
        peaks = {
            kind: held_bytes(net.model, net.optimizer)
            + 2**20 * peak_memory(net.case, self.device)
            for kind, net in nets.items()
        }
        rows = []
        for kind, seconds in times.items():
            row = dict(
                _row(arch, kind, times),
                memory_mib=peaks[kind] / 2**20,
                copy_gb_per_s=speed / 1e9,
            )
            if kind != 'dense':
                # what the obvious implementation masks is what ours does
                masks = named_masks(nets[kind.replace('plain_', '')].model)
                count = sum(item.parameter.numel() for item in masks)
                costs = SOFT if 'soft' in kind else SCORE
                extra_bytes = peaks[kind] - peaks['dense']
                row.update(
                    extra_ms=spread_ms(seconds - times['dense']),
                    alone_ms=spread_ms(alone[_alone(kind)]),
                    masked=count,
                    bound_ms=1000 * SCORE.moved * count / speed,
                    own_bound_ms=1000 * costs.moved * count / speed,
                    defined_bound_ms=1000 * costs.as_defined * count / speed,
                    extra_bytes_per_weight=extra_bytes / count,
                    kept_bytes_per_weight=costs.kept,
                )
            rows.append(row)
        return rows

    def targets(self, result: dict) -> Iterator[dict]:
        """Of time and memory, of merged weights and of adapters."""
        for row in result['steps']:
            if row['kind'].startswith(('dense', 'plain', 'torch')):
                continue
            name = f'{row["arch"]}, {row["kind"]}'
            soft = 'soft' in row['kind']
            costs = SOFT if soft else SCORE
            limits = STEP_LIMITS[row['arch']]
            if self.sizes[row['arch']][0] <= SMALL_BATCH:
                limits = SMALL_LIMITS.get(row['arch'], limits)
            yield target(
                f'{name}: training step to dense',
                row['to_dense']['median'],
                limits[0 if soft else 1],
            )
            yield target(
                f'{name}: masks alone to copying {costs.as_defined} bytes per '
                'masked weight',
                row['alone_ms']['median'] / row['defined_bound_ms'],
                1.2 if soft else 1.1,
            )
            yield target(
                f'{name}: extra peak memory to {costs.kept} bytes per masked '
                'weight',
                row['extra_bytes_per_weight'] / costs.kept,
                1.1,
            )
        for row in result['inference']:
            if row['kind'] == 'merged':
                yield target(
                    f'{row["arch"]}: merged inference to dense, two decimals',
                    round(row['to_dense']['median'], 2),
                    1.0,
                )
        for row in result['adapters']:
            what = f'{row["arch"]}: packed masks to one bit per weight'
            yield target(what, row['packed_to_bits'], 1.01)
            what = f'{row["arch"]}: fp32 weights to packed masks'
            yield target(what, row['fp32_to_packed'], 31.0, at_least=True)


def _alone(kind: str) -> str:
    """Whose masks are timed without the step: a penalty is a scalar more."""
    other = kind.startswith(('plain', 'torch'))
    return kind if other else kind.split('_')[0]


def _row(arch: str, kind: str, times: Dict[str, np.ndarray]) -> dict:
    """A row of a table: the time, and that relative to dense weights."""
    return dict(
        arch=arch,
        kind=kind,
        ms=spread_ms(times[kind]),
        to_dense=spread(times[kind] / times['dense']),
    )
