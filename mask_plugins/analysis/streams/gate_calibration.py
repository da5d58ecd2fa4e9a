# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Break-even of gated layers on this machine, and trials of thresholds."""

from contextlib import ExitStack
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from mask_plugins.core.patches import TileIndex, copy_patches
from mask_plugins.utils.timing import Case, time_interleaved

from .gated_stream import GatedStream
from .layer_cost import LayerCost
from .stream_comparison import relative_error
from .threshold_search import (
    Thresholds,
    Trial,
    drop_gates,
    greedy_path,
    last_within,
    match_skip_ratio,
    within,
)

# Of active patches, drawn at random, and measurements of each.
SHARES, ROUNDS = (0.02, 0.1, 0.25, 0.5), 5
# Steps of a half more, from far below sensor noise to half of the signal.
GRID = tuple(round(0.01 * 1.5**step, 4) for step in range(11))


@torch.no_grad()
def measure_layer_costs(
    stream: GatedStream,
    image: Tensor,
    log: Callable[[str], None] = lambda message: None,
    clock: str = 'wall',
) -> Dict[str, LayerCost]:
    """Time every gated layer: dense, its gate, sparse at some shares.

    Args:
        stream (GatedStream): Its network.
        image (Tensor): An input :math:`(1, 3, H, W)`.
        log (Callable): Told about each layer. Defaults to nothing.
        clock (str): See :func:`time_interleaved`. Defaults to 'wall'.

    Returns:
        dict[str, LayerCost]: By layer.
    """
    inputs: Dict[nn.Module, Tensor] = {}
    with ExitStack() as hooks:
        for layer in stream.layers.values():
            hook = layer.register_forward_pre_hook(
                lambda layer, args: inputs.update({layer: args[0].clone()})
            )
            hooks.callback(hook.remove)
        stream.network(image.to(stream.dtype))
    costs = {}
    for name, layer in stream.layers.items():
        cases = _cases(layer, stream.gates[name], inputs[layer])
        times = time_interleaved(cases, ROUNDS, warmup=1, clock=clock)
        # The lower quartile: what disturbs only ever makes it longer.
        low = {key: float(np.quantile(t, 0.25)) for key, t in times.items()}
        first = low.pop('dense'), low.pop('gate')
        if len(low) > 1:
            cost = LayerCost.fit(*first, list(low), list(low.values()))
        else:  # a map of few patches: all or nothing
            cost = LayerCost(*first, 0.0, *low.values())
        costs[name] = cost
        dense = f'{name}: dense {1000 * cost.dense:.2f} ms'
        log(f'{dense}, break-even at {cost.break_even:.2f} active')
    return costs


def _cases(layer: nn.Module, gate: nn.Module, x: Tensor) -> Dict:
    """What is timed of one layer; sparse at the shares its grid allows."""
    plan = layer.plan(x)
    chain = layer.chain
    chain.version()  # folds the norms
    ref = x + 0.01 * x.abs().mean()
    ref = gate.reference_of(ref).clone(memory_format=torch.channels_last)
    target = ref.clone(memory_format=torch.channels_last)
    out = layer.whole(x)[0].clone(memory_format=torch.channels_last)
    hidden = layer.whole(x)[1]
    window = plan.window if layer.reuse == 'output' else plan.plain_window
    cases = dict(
        dense=Case(lambda: layer.whole(x)[0]),
        gate=Case(lambda: gate(x, ref, window)),
    )
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(plan.patches, generator=generator)
    for share in SHARES:
        count = max(1, round(share * plan.patches))
        active = torch.zeros(plan.patches, dtype=torch.bool)
        active[order[:count]] = True
        active = active.view(1, *plan.grid).to(x.device)

        def sparse(active=active) -> None:
            index = TileIndex.of(active)
            chain.update(x, plan, index, [out, *hidden])
            copy_patches(target, x, plan, index)

        cases[count / plan.patches] = Case(sparse)
    return cases


class ClipTrials:
    """Run clips under thresholds: what :func:`greedy_path` asks for.

    Layers always compute sparsely unless they are dense for good; time is
    that of the cost model, which no other process disturbs.

    Args:
        stream (GatedStream): Its network.
        clips (Sequence[Sequence[Tensor]]): Consecutive inputs; each clip is
            a new stream, whose first frame does not count.
        dense (Callable): From an input to the dense last feature.
        costs (Mapping[str, LayerCost]): Of all gated layers.

    Raises:
        ValueError: If there is no clip of two frames or more.
    """

    def __init__(
        self,
        stream: GatedStream,
        clips: Sequence[Sequence[Tensor]],
        dense: Callable[[Tensor], Tensor],
        costs: Mapping[str, LayerCost],
    ) -> None:
        if not clips or any(len(clip) < 2 for clip in clips):
            lengths = [len(clip) for clip in clips]
            raise ValueError(f'clips must have two frames each, got {lengths}')
        self.stream, self.clips, self.costs = stream, clips, dict(costs)
        with torch.no_grad():
            self.targets = [[dense(x).clone() for x in c] for c in clips]
        self.count = 0
        # Searches for several targets begin alike.
        self._seen: Dict[Tuple, Trial] = {}

    def __call__(self, thresholds: Thresholds) -> Trial:
        """Mean error, modeled seconds per frame, skip ratios by layer."""
        key = tuple(sorted(thresholds.items()))
        if key in self._seen:
            return self._seen[key]
        even = {name: cost.break_even for name, cost in self.costs.items()}
        self.stream.set_thresholds(thresholds, even)
        errors, seconds = [], []
        shares: Dict[str, List[float]] = {name: [] for name in self.costs}
        for clip, targets in zip(self.clips, self.targets):
            self.stream.reset()
            for number, (image, target) in enumerate(zip(clip, targets)):
                feature = self.stream(image)
                if not number:
                    continue
                errors.append(relative_error(feature, target))
                seconds.append(0.0)
                for name, share in self.stream.shares().items():
                    shares[name].append(share)
                    cost, dense = self.costs[name], thresholds[name] is None
                    seconds[-1] += cost.dense if dense else cost.seconds(share)
        self.count += 1
        self._seen[key] = Trial(
            dict(thresholds),
            float(np.mean(errors)),
            float(np.mean(seconds)),
            {name: 1 - float(np.mean(v)) for name, v in shares.items()},
        )
        return self._seen[key]

    @property
    def dense_seconds(self) -> float:
        """Of all gated layers, dense."""
        return sum(cost.dense for cost in self.costs.values())


def gate_rules(
    trial: Trial, costs: Mapping[str, LayerCost], stream: GatedStream
) -> List[dict]:
    """A trial as rules that ``apply_patch_gates`` and ``GatedResNet`` take.

    Args:
        trial (Trial): Thresholds by layer.
        costs (Mapping[str, LayerCost]): Break-evens by layer.
        stream (GatedStream): Its gates.

    Returns:
        list[dict]: One per layer, plain data.
    """
    rules: List[dict] = []
    for name, threshold in trial.thresholds.items():
        if threshold is None:
            rules.append(dict(pattern=name, action='skip'))
            continue
        gate = stream.gates[name]
        kept = ('reduction', 'relative', 'sample_channels')
        options = {key: getattr(gate, key) for key in kept}
        rules.append(
            dict(
                pattern=name,
                action='gate',
                gate=dict(type='threshold', threshold=threshold, **options),
                patch_size=list(gate.patch_size),
                break_even=round(costs[name].break_even, 4),
                hidden=stream.layers[name].hidden,
            )
        )
    return rules


def calibrate(
    trials: ClipTrials,
    grid: Sequence[float],
    target_error: Optional[float] = None,
    target_skip: Optional[float] = None,
    log: Callable[[str], None] = lambda message: None,
    check: Optional[ClipTrials] = None,
) -> Trial:
    """Thresholds per layer for an error or a skip ratio.

    References age over a stream, so that a short clip promises smaller errors
    than a long one shows. A search takes a hundred trials; hence ``check``,
    a long clip on which only a handful of what was found is tried.

    Args:
        trials (ClipTrials): Runs the clips.
        grid (Sequence[float]): Rising thresholds to choose from.
        target_error (float, optional): Mean relative L2 error not to exceed.
        target_skip (float, optional): Share of patches each layer skips.
        log (Callable): Told about progress. Defaults to nothing.
        check (ClipTrials, optional): Frames on which the error must not
            exceed its target either. Defaults to None.

    Returns:
        Trial: The chosen thresholds and what they gave, on the frames of
        ``check`` if there are any.

    Raises:
        ValueError: If not just one target is given, or it cannot be met.
    """
    if (target_error is None) == (target_skip is None):
        both = f'{target_error} and {target_skip}'
        raise ValueError(f'give target_error or target_skip, got {both}')
    names = list(trials.stream.layers)
    if target_skip is not None:
        return match_skip_ratio(trials, names, grid, target_skip)

    def say(trial: Trial) -> None:
        if trials.count % 10 == 0:
            speed = f'modeled speed-up {trials.dense_seconds / trial.cost:.2f}'
            log(f'{trials.count} trials: error {trial.error:.4f}, {speed}')

    path = greedy_path(trials, names, grid, target_error, on_trial=say)
    if check is not None:
        trial = last_within(path, check, target_error)
        log(f'error {trial.error:.4f} on the frames of the check')
        return check(drop_gates(trials, trials(trial.thresholds)).thresholds)
    return drop_gates(trials, within(path, target_error))
