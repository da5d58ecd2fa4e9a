# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What masks of weights cost, and what they save."""

from typing import Dict, List, Optional, Sequence

from mask_plugins.core.weights import named_masks
from mask_plugins.utils.checks import check_choice, check_int
from mask_plugins.utils.timing import Spread, peak_memory

from .mask_adapters import measure_adapters
from .statistics import machine, ratios, spread, spread_ms, target
from .timer import Timer
from .weight_mask_costs import (
    COPY_BYTES,
    KEPT,
    MOVED,
    MOVED_AS_DEFINED,
    copy_case,
    family,
    held_bytes,
)
from .weight_mask_steps import MaskStepBuilder, Trained

# The largest ratio of a masked to the dense training step.
STEP_LIMITS = dict(resnet18=1.08, resnet50=1.10, resnet20=1.04)
OURS = ('soft', 'soft_penalty', 'score', 'score_held')
# Whose masks are timed without the step: a penalty is but a scalar more.
ALONE = dict(
    soft='soft',
    soft_penalty='soft',
    plain_soft_penalty='plain_soft_penalty',
    score='score',
    score_held='score',
    plain_score='plain_score',
)


class WeightMaskBenchmark:
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
        **timing: See :class:`Timer`.

    Raises:
        ValueError: If a network, ``dtype`` or ``clock`` is unknown, or a size
            too small.

    Examples:
        >>> benchmark = WeightMaskBenchmark(archs=['resnet20'], batch_size=4)
        >>> benchmark.sizes
        {'resnet20': (4, 32)}
    """

    ARCHS = MaskStepBuilder.ARCHS

    def __init__(
        self,
        archs: Sequence[str] = tuple(ARCHS),
        batch_size: Optional[int] = None,
        image_size: Optional[int] = None,
        dtype: str = 'fp32',
        channels_last: bool = False,
        **timing,
    ) -> None:
        for arch in archs:
            check_choice('arch', arch, tuple(self.ARCHS))
        if not archs:
            raise ValueError('archs must name at least one network, got none')
        # A norm over one image and one pixel has no variance.
        check_int('batch_size', batch_size, low=2, optional=True)
        check_int('image_size', image_size, low=8, optional=True)
        self.time = Timer(**timing)
        device, seed = (self.time.options[key] for key in ('device', 'seed'))
        self.builder = MaskStepBuilder(device, dtype, channels_last, seed)
        self.archs = tuple(archs)
        self.sizes = {
            arch: (batch_size or size, image_size or pixels)
            for arch, (size, pixels) in self.ARCHS.items()
            if arch in archs
        }

    # ------------------------------------------------------------------ run
    def run(self) -> dict:
        """Measure.

        Returns:
            dict: Plain data: ``settings``, ``machine``, ``steps`` (training),
            ``inference``, ``adapters`` and ``targets``.
        """
        result = dict(
            settings=self.settings(), machine=machine(self.builder.device)
        )
        parts = ('steps', 'inference', 'adapters')
        result.update({part: [] for part in parts})
        for arch in self.archs:
            for part in parts:
                result[part] += getattr(self, f'_measure_{part}')(arch)
        result['targets'] = list(self._targets(result))
        return result

    def settings(self) -> dict:
        """What was asked for."""
        return dict(
            archs=list(self.archs),
            batch_sizes={arch: size[0] for arch, size in self.sizes.items()},
            image_sizes={arch: size[1] for arch, size in self.sizes.items()},
            dtype=self.builder.dtype,
            channels_last=self.builder.channels_last,
            copy_bytes=COPY_BYTES,
            **self.time.options,
        )

    # -------------------------------------------------------------- measure
    def _measure_steps(self, arch: str) -> List[dict]:
        builder, device = self.builder, self.builder.device
        nets: Dict[str, Trained] = {
            kind: builder.training(arch, kind, *self.sizes[arch])
            for kind in builder.KINDS
        }
        cases = {kind: net.case for kind, net in nets.items()}
        times = self.time(f'{arch}, training', cases)
        # Short, so that they can be repeated more often.
        parts = {
            kind: builder.operations(nets[kind].model)
            for kind in dict.fromkeys(ALONE.values())
        }
        parts['copy'] = copy_case(device)
        alone = self.time(f'{arch}, masks alone', parts, more=3)
        speed = 2 * COPY_BYTES / Spread.of(alone['copy']).median
        del parts
        peaks = {
            kind: held_bytes(net.model, net.optimizer)
            + 2**20 * peak_memory(net.case, device)
            for kind, net in nets.items()
        }
        rows = []
        for kind, seconds in times.items():
            row = dict(
                arch=arch,
                kind=kind,
                ms=spread_ms(seconds),
                to_dense=spread(ratios(seconds, times['dense'])),
                memory_mib=peaks[kind] / 2**20,
                copy_gb_per_s=speed / 1e9,
            )
            if kind != 'dense':
                extra = [a - b for a, b in zip(seconds, times['dense'])]
                row['extra_ms'] = spread_ms(extra)
                extra_bytes = peaks[kind] - peaks['dense']
                row.update(self._costs(nets, kind, extra_bytes, speed))
                row['alone_ms'] = spread_ms(alone[ALONE[kind]])
            rows.append(row)
        return rows

    @staticmethod
    def _costs(
        nets: Dict[str, Trained], kind: str, extra_bytes: float, speed: float
    ) -> dict:
        """What the masks of ``kind`` keep, and the bounds of their costs."""
        # what the obvious implementation masks is what ours does
        same = kind.replace('plain_', '')
        count = sum(
            item.parameter.numel() for item in named_masks(nets[same].model)
        )
        name = family(kind)
        return dict(
            masked=count,
            bound_ms=1000 * MOVED['score'] * count / speed,
            own_bound_ms=1000 * MOVED[name] * count / speed,
            defined_bound_ms=1000 * MOVED_AS_DEFINED[name] * count / speed,
            extra_bytes_per_weight=extra_bytes / count,
            kept_bytes_per_weight=KEPT[name],
        )

    def _measure_inference(self, arch: str) -> List[dict]:
        cases = self.builder.inference(arch, *self.sizes[arch])
        times = self.time(f'{arch}, inference', cases, more=2)
        return [
            dict(
                arch=arch,
                kind=kind,
                ms=spread_ms(seconds),
                to_dense=spread(ratios(seconds, times['dense'])),
            )
            for kind, seconds in times.items()
        ]

    def _measure_adapters(self, arch: str) -> List[dict]:
        found = measure_adapters(
            self.builder.network(arch),
            self.builder.network(arch, 'score'),
            lambda cases: self.time(f'{arch}, adapters', cases),
        )
        return [dict(arch=arch, **found)]

    @staticmethod
    def _targets(result: dict):
        for row in result['steps']:
            if row['kind'] not in OURS:
                continue
            name = f'{row["arch"]}, {row["kind"]}'
            slower = max(row[k]['median'] for k in ('extra_ms', 'alone_ms'))
            moved = MOVED[family(row['kind'])]
            kept = row['kept_bytes_per_weight']
            for what, value, limit in (
                (
                    'training step to dense',
                    row['to_dense']['median'],
                    STEP_LIMITS[row['arch']],
                ),
                (
                    'extra time (by difference or alone, the longer) to that '
                    f'of copying {moved} bytes per masked weight',
                    slower / row['own_bound_ms'],
                    1.2,
                ),
                (
                    f'extra peak memory to {kept} bytes per masked weight',
                    row['extra_bytes_per_weight'] / kept,
                    1.1,
                ),
            ):
                yield target(f'{name}: {what}', value, limit)
        for row in result['inference']:
            if row['kind'] == 'merged':
                what = (
                    f'{row["arch"]}: merged inference to dense, two decimals'
                )
                yield target(what, round(row['to_dense']['median'], 2), 1.0)
        for row in result['adapters']:
            name = row['arch']
            what = f'{name}: packed masks to one bit per weight'
            yield target(what, row['packed_to_bits'], 1.01)
            what = f'{name}: fp32 weights to packed masks'
            yield target(what, row['fp32_to_packed'], 31.0, at_least=True)
