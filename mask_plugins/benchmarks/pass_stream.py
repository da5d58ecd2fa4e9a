# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What skipping patches gains: a layer, a video, exactness, memory."""

from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Dict, Iterator, List, Optional, Sequence

import torch

from mask_plugins.analysis.streams.dense_rivals import (
    DTYPES,
    Rival,
    dense_rivals,
    split_rivals,
)
from mask_plugins.analysis.streams.frame_source import FrameSource
from mask_plugins.analysis.streams.gate_calibration import (
    GRID,
    ClipTrials,
    calibrate,
    measure_layer_costs,
)
from mask_plugins.analysis.streams.gated_stream import GatedStream
from mask_plugins.analysis.streams.stream_comparison import (
    StreamComparison,
    summarize_stream,
)
from mask_plugins.analysis.streams.stream_model import (
    convolution_macs,
    last_feature,
)
from mask_plugins.analysis.streams.stream_network import (
    StreamNetwork,
    random_network,
    trained_network,
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
#: Of ResNet-18 at 512 px, by error.
SPEED_LIMITS = {0.1: 2.1, 0.25: 2.8}
LATENCY_LIMIT = 1.3  # p95 over p50
SHARE_LIMIT = 0.85  # of 1 / (1 - skipped share)
EXACT_LIMIT = 1e-5
#: State of the streams over the cached activations in fp32.
MEMORY_LIMITS = dict(fp32=1.3, bf16=0.7)


@dataclass
class PassStreamBenchmark:
    """Gated layers and networks against the best dense ones, interleaved.

    The dense network is the fastest of the forms of :func:`dense_rivals`,
    with the same threads, in the precision of the gated one; the fastest of
    the other precision is timed next to it. Without a config weights are
    random, norms calibrated on the first frames.

    Args:
        video (str, optional): File or folder; None draws a scene.
        parts (Sequence[str]): Of ``PARTS``. Defaults to all.
        config (str, optional): Of a trained classifier with gates, in place
            of random weights; needs ``checkpoint``. Defaults to None.
        checkpoint (str, optional): Its weights. Defaults to None.
        depth (int): Of the ResNet of random weights. Defaults to 18.
        size (int): Pixels. Defaults to 512.
        dtype (str): Of layers and network, ``'fp32'`` or ``'bf16'``. Defaults
            to ``'fp32'``.
        inductor (bool): Whether dense rivals are compiled, too. Defaults to
            True.
        patch_sizes (Sequence[int], optional): Of the stages of a ResNet.
            Defaults to None: those of the config, or PATCH_SIZES.
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
        refresh_every (int): As of ``StreamState``, in calibration and
            judgment alike. Defaults to 10.
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
    config: Optional[str] = None
    checkpoint: Optional[str] = None
    depth: int = 18
    size: int = 512
    dtype: str = 'fp32'
    inductor: bool = True
    patch_sizes: Optional[Sequence[int]] = None
    place: str = 'block'
    errors: Sequence[float] = tuple(SPEED_LIMITS)
    margin: float = 0.9
    calibration_frames: int = 11
    calibration_clips: int = 2
    check_frames: int = 0
    refresh_every: int = 10
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
        if self.check_frames != 0:  # none at all
            check_int('check_frames', self.check_frames, 2)
        check_int('refresh_every', self.refresh_every, 0)
        check_ratio('margin', self.margin, '(]')
        for error in self.errors or [None]:
            check_number('errors', error, 0, ends='(]')
        check_choice('place', self.place, PLACES)
        check_choice('dtype', self.dtype, DTYPES)
        if bool(self.config) != bool(self.checkpoint):
            both = f'{self.config!r} and {self.checkpoint!r}'
            raise ValueError(f'checkpoint must come with config, got {both}')

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
    def _network(self) -> StreamNetwork:
        gates = (self.place, self.patch_sizes)
        if self.config:
            return trained_network(self.config, self.checkpoint, *gates)
        first = list(self._frames(4))
        return random_network(first, self.depth, self.seed, *gates)

    @cached_property
    def _rivals(self) -> Dict[str, Rival]:
        (image,) = self._images(1)
        return dense_rivals(
            self._network.dense,
            image,
            self.inductor,
            clock=self.clock,
            log=self.log,
        )

    def _measure_layer(self) -> List[dict]:
        options = (self.seed, self.clock, self.log, DTYPES[self.dtype])
        return measure_layer(self.rounds, *options)

    def _stream(self, gate, dtype: str = 'fp32', **options) -> GatedStream:
        network = self._network.gated(gate).to(DTYPES[dtype])
        return GatedStream(network, **options)

    def _images(self, count: int, skip: int = 0) -> List[torch.Tensor]:
        return list(self._inputs(count, skip))

    def _frames(self, count: int, skip: int = 0) -> FrameSource:
        return FrameSource(
            self.video, size=self.size, limit=count, skip=skip, seed=self.seed
        )

    def _inputs(self, count: int, skip: int = 0) -> Iterator[torch.Tensor]:
        return map(self._network.to_input, self._frames(count, skip))

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
        stream = self._stream(
            gate, self.dtype, refresh_every=self.refresh_every
        )
        costs = measure_layer_costs(
            stream, clips[0][0], log=self.log, clock=self.clock
        )
        dense = last_feature(self._network.dense)
        steps = split_rivals(self._rivals, self.dtype)
        macs = convolution_macs(self._network.dense, clips[0][0])
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
            comparison = StreamComparison(
                steps['dense'],
                stream,
                stream.skip_ratio,
                self._network.head,
                dict(other=steps['other']),
                self.clock,
            )
            judged = self._inputs(self.judged_frames, half)
            summary = summarize_stream(list(comparison.run(judged)))
            error, speed = summary['error_mean'], summary['speed_up']
            self.log(f'error {error:.3f} of {limit}, speed-up {speed:.2f}')
            # Of all of the network, without what halos and gates cost.
            later = max(stream.state.frame - 1, 1)
            skipped = sum(
                s.macs * s.skipped_patches / s.patches
                for s in stream.state.stats().values()
            ) / (macs * later)
            found = dict(
                target=limit,
                speed_up_fastest=min(speed, summary['speed_up_other']),
                latency_p95_to_p50=summary['gated_p95'] / summary['gated_p50'],
                skipped=skipped,
                share_of_limit=speed * (1 - skipped),
                dense=[r._asdict()['ms'] for r in self._rivals.values()],
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
        feature = last_feature(self._network.dense)
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
        """Of the state, to the activations that are cached, in fp32."""
        found: Dict[str, float] = {}
        for dtype in DTYPES:
            stream = self._stream(GATE, dtype)
            for image in self._inputs(2):
                stream(image)
            found[f'{dtype}_state_mib'] = stream.state.memory_bytes() / 2**20
            outputs = stream.state.cached_bytes() / 2**20
            found.setdefault('outputs_mib', outputs)
        for dtype in DTYPES:
            ratio = found[f'{dtype}_state_mib'] / found['outputs_mib']
            found[f'{dtype}_to_outputs'] = ratio
        return found

    def _targets(self, result: dict) -> Iterator[dict]:
        # The targets of a layer are those of float32.
        layers = result.get('layer', ()) if self.dtype == 'fp32' else ()
        for row in layers:
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
            if limit in SPEED_LIMITS and not self.config:
                least = SPEED_LIMITS[limit]
                yield target(f'{name}: speed-up', reached, least, True)
            ratio = row['latency_p95_to_p50']
            yield target(f'{name}: p95 to p50', ratio, LATENCY_LIMIT)
            share = row['share_of_limit']
            name = f'{name}: share of 1 / (1 - skipped)'
            yield target(name, share, SHARE_LIMIT, True)
        if 'exact' in result:
            name = f'exact gate, {self.exact_frames} frames: largest error'
            yield target(name, result['exact']['error_max'], EXACT_LIMIT)
        for dtype in DTYPES if 'memory' in result else ():
            ratio = result['memory'][f'{dtype}_to_outputs']
            name = f'memory, {dtype}: state to cached outputs in fp32'
            yield target(name, ratio, MEMORY_LIMITS[dtype])
