# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What skipping patches gains: a layer, a video, exactness, memory."""

from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Iterator, List, Optional, Sequence

import torch
from torch import nn

from mask_plugins.analysis.streams.frame_source import FrameSource, to_input
from mask_plugins.analysis.streams.gate_calibration import (
    GRID,
    ClipTrials,
    calibrate,
    measure_layer_costs,
)
from mask_plugins.analysis.streams.gated_stream import (
    PATCH_SIZES,
    GatedStream,
    gate_network,
)
from mask_plugins.analysis.streams.stream_comparison import (
    StreamComparison,
    summarize_stream,
)
from mask_plugins.analysis.streams.stream_model import (
    best_dense,
    last_feature,
    random_head,
    random_resnet,
)
from mask_plugins.utils.checks import (
    check_choice,
    check_int,
    check_number,
    check_ratio,
)

from .pass_layer import GATE, LAYER_LIMITS, measure_layer
from .statistics import machine, target

PLACES = ('block', 'conv')
PARTS = ('layer', 'frontier', 'exact', 'memory')
SPEED_LIMITS = {0.1: 1.8, 0.25: 2.4}
EXACT_LIMIT = 1e-5
MEMORY_LIMIT = 2.0


@dataclass
class PassStreamBenchmark:
    """Gated layers and networks against the best dense ones, interleaved.

    The dense network has its norms folded and runs channels_last with the
    same threads. Weights are random, norms calibrated on the first frames.

    Args:
        video (str, optional): File or folder; None draws a scene.
        parts (Sequence[str]): Of ``PARTS``. Defaults to all.
        depth (int): Of the ResNet. Defaults to 18.
        size (int): Pixels. Defaults to 512.
        patch_sizes (Sequence[int]): Of the stages. Defaults to PATCH_SIZES.
        place (str): ``'block'`` or ``'conv'``. Defaults to ``'block'``.
        errors (Sequence[float]): Targets of the frontier. Defaults to
            (0.1, 0.25).
        margin (float): Share of a target that calibration aims at, as frames
            it has not seen err more. Defaults to 0.9.
        calibration_frames (int): Of each clip of the first half; one more
            than ``refresh_every`` shows references of every age.
            Defaults to 11.
        calibration_clips (int): How many, spread over the first half.
            Defaults to 2.
        check_frames (int): Of the first half, on which the thresholds that
            were found on the clips must hold; 0 for none. Defaults to 0.
        refresh_every (int): Frames after which the stream is computed in
            full, in calibration and judgment alike; 0 for never.
            Defaults to 0.
        clock (str): See :func:`time_interleaved`. Defaults to ``'wall'``.
        judged_frames (int): Of the second half, consecutive. Defaults to
            150.
        exact_frames (int): Defaults to 500.
        rounds (int): Measurements of a layer. Defaults to 30.
        seed (int): Defaults to 0.
        log (Callable): Where progress goes. Defaults to ``print``.

    Raises:
        TypeError: If a number is of another type.
        ValueError: If a part or place is unknown, or a number is out of its
            range.

    Examples:
        >>> PassStreamBenchmark(parts=['layer']).settings()['video']
        'synthetic scene'
    """

    video: Optional[str] = None
    parts: Sequence[str] = PARTS
    depth: int = 18
    size: int = 512
    patch_sizes: Sequence[int] = PATCH_SIZES
    place: str = 'block'
    errors: Sequence[float] = tuple(SPEED_LIMITS)
    margin: float = 0.9
    calibration_frames: int = 11
    calibration_clips: int = 2
    check_frames: int = 0
    refresh_every: int = 0
    clock: str = 'wall'
    judged_frames: int = 150
    exact_frames: int = 500
    rounds: int = 30
    seed: int = 0
    log: Callable[[str], None] = print

    def __post_init__(self) -> None:
        for part in self.parts or [None]:
            check_choice('parts', part, PARTS)
        check_int('calibration_clips', self.calibration_clips, 1)
        for name in ('calibration_frames', 'judged_frames', 'exact_frames'):
            check_int(name, getattr(self, name), 2)
        for name in ('check_frames', 'refresh_every'):
            if getattr(self, name) != 0:  # none at all
                check_int(name, getattr(self, name), 2)
        check_ratio('margin', self.margin, '(]')
        for error in self.errors or [None]:
            check_number('errors', error, 0, ends='(]')
        check_choice('place', self.place, PLACES)

    # ------------------------------------------------------------------ run
    def run(self) -> dict:
        """Measure.

        Returns:
            dict: Plain data: ``settings``, ``machine``, one entry per part,
            ``targets``.
        """
        result = dict(settings=self.settings(), machine=machine('cpu'))
        for part in PARTS:  # in this order
            if part in self.parts:
                result[part] = getattr(self, f'_measure_{part}')()
        result['targets'] = list(self._targets(result))
        return result

    def settings(self) -> dict:
        """What was asked for; the video by its name alone."""
        given = {k: v for k, v in vars(self).items() if k[0] != '_'}
        given.pop('log')
        return dict(given, video=FrameSource(self.video).name)

    # -------------------------------------------------------------- measure
    @cached_property
    def _dense(self) -> nn.Module:
        first = self._images(4)
        return best_dense(random_resnet(first, self.depth, self.seed))

    def _measure_layer(self) -> List[dict]:
        return measure_layer(self.rounds, self.seed, self.clock, self.log)

    def _stream(self, gate, **options) -> GatedStream:
        network = gate_network(self._dense, gate, self.place, self.patch_sizes)
        return GatedStream(network, **options)

    def _images(self, count: int, skip: int = 0) -> List[torch.Tensor]:
        return list(self._inputs(count, skip))

    def _inputs(self, count: int, skip: int = 0) -> Iterator[torch.Tensor]:
        source = FrameSource(
            self.video, size=self.size, limit=count, skip=skip, seed=self.seed
        )
        return map(to_input, source)

    def _half(self) -> int:
        """Number of the first frame of the second half."""
        if self.video is None:
            calibration = self.calibration_frames * self.calibration_clips
            return max(calibration, self.check_frames)
        return sum(1 for _ in FrameSource(self.video, size=16)) // 2

    @torch.no_grad()
    def _measure_frontier(self) -> List[dict]:
        half = self._half()
        count, number = self.calibration_frames, self.calibration_clips
        long = max(count * number, self.check_frames)
        if half < long:
            raise ValueError(
                f'the first half of {self.video} has {half} of {long} frames'
            )
        middles = [int((i + 0.5) * half / number) for i in range(number)]
        clips = [self._images(count, at - count // 2) for at in middles]
        gate = dict(GATE, threshold=GRID[0])
        stream = self._stream(gate, refresh_every=self.refresh_every)
        costs = measure_layer_costs(
            stream, clips[0][0], log=self.log, clock=self.clock
        )
        dense = last_feature(self._dense)
        trials = ClipTrials(stream, clips, dense, costs)
        check, long = None, self.check_frames
        if long:
            clip = self._images(long, skip=(half - long) // 2)
            check = ClipTrials(stream, [clip], dense, costs)
        rows = []
        for limit in self.errors:
            aim = limit * self.margin
            trial = calibrate(trials, GRID, aim, log=self.log, check=check)
            even = {name: cost.break_even for name, cost in costs.items()}
            stream.set_thresholds(trial.thresholds, even)
            head = random_head(self._dense.feat_dim)
            comparison = StreamComparison(
                dense, stream, stream.skip_ratio, head, self.clock
            )
            judged = self._inputs(self.judged_frames, half)
            summary = summarize_stream(list(comparison.run(judged)))
            error, speed = summary['error_mean'], summary['speed_up']
            self.log(f'error {error:.3f} of {limit}, speed-up {speed:.2f}')
            found = dict(
                target=limit,
                calibration_error=trial.error,
                modeled_speed_up=trials.dense_seconds / trial.cost,
                thresholds=trial.thresholds,
                skip_ratios=trial.skip_ratios,
            )
            rows.append({**summary, **found})
        return rows

    @torch.no_grad()
    def _measure_exact(self) -> dict:
        stream = self._stream('exact')
        feature = last_feature(self._dense)
        comparison = StreamComparison(feature, stream, stream.skip_ratio)
        records = []
        for record in comparison.run(self._inputs(self.exact_frames)):
            records.append(record)
            if len(records) % 50 == 0:
                self.log(f'exact: {len(records)} frames')
        summary = summarize_stream(records)
        return dict(summary, error_max=max(r['error'] for r in records))

    @torch.no_grad()
    def _measure_memory(self) -> dict:
        """Of references as they are, and of sampled channels."""
        found = {}
        for name, gate in dict(full='exact', sampled=GATE).items():
            stream = self._stream(gate)
            for image in self._inputs(2):
                stream(image)
            state = stream.state
            held, outputs = state.memory_bytes(), state.cached_bytes()
            found[f'{name}_state_mib'] = held / 2**20
            found['outputs_mib'] = outputs / 2**20
            found[f'{name}_to_outputs'] = held / outputs
        return found

    def _targets(self, result: dict) -> Iterator[dict]:
        for row in result.get('layer', ()):
            size = tuple(row[key] for key in ('channels', 'side', 'patch'))
            skip, reached = row['skip'], row['speed_up']['median']
            least = LAYER_LIMITS[size][skip]
            name = 'layer of {} channels, {}x{}'.format(*size[:2], size[1])
            name = f'{name}, {row["path"]}, skip {skip:g}: speed-up'
            yield target(name, reached, least, at_least=True)
        for row in result.get('frontier', ()):
            limit, reached = row['target'], row['speed_up']
            name = f'video, aimed at error {limit:g}'
            yield target(f'{name}: mean error', row['error_mean'], limit)
            if limit in SPEED_LIMITS:
                least = SPEED_LIMITS[limit]
                yield target(f'{name}: speed-up', reached, least, True)
        if 'exact' in result:
            name = f'exact gate, {self.exact_frames} frames: largest error'
            yield target(name, result['exact']['error_max'], EXACT_LIMIT)
        for name in ('full', 'sampled') if 'memory' in result else ():
            ratio = result['memory'][f'{name}_to_outputs']
            name = f'memory, {name} references: state to cached outputs'
            yield target(name, ratio, MEMORY_LIMIT)
