# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is trained now: the gates, the network around them, or nothing."""

from enum import Enum
from typing import Iterator

from torch import nn

from mask_plugins.utils.checks import check_choice

_BEFORE = '_requires_grad_before'


class RunningMode(Enum):
    """The phases of PASS (Zhou et al., AAAI 2023).

    - ``BackboneTrain``, ``BackboneTest``: gates are bypassed, layers are
      plain dense ones.
    - ``GatePreTrain``: gates learn and sample, the network is frozen.
    - ``FineTuning``: the network learns behind frozen gates, which neither
      sample nor update their statistics.
    - ``Test``: nothing learns, nothing is random.

    Examples:
        >>> mode = RunningMode['GatePreTrain']
        >>> mode.trains_gates, mode.trains_backbone, mode.bypasses_gates
        (True, False, False)
    """

    BackboneTrain = 0
    BackboneTest = 1
    GatePreTrain = 2
    FineTuning = 3
    Test = 4

    @property
    def bypasses_gates(self) -> bool:
        """Whether gates are bypassed."""
        return self in (RunningMode.BackboneTrain, RunningMode.BackboneTest)

    @property
    def trains_gates(self) -> bool:
        """Whether gates learn."""
        return self is RunningMode.GatePreTrain

    @property
    def trains_backbone(self) -> bool:
        """Whether what is around the gates learns."""
        return self in (RunningMode.BackboneTrain, RunningMode.FineTuning)


def check_running_mode(mode) -> RunningMode:
    """A mode from itself or from its name.

    Raises:
        ValueError: If there is none of this name.

    Examples:
        >>> check_running_mode('FineTuning')
        <RunningMode.FineTuning: 3>
    """
    if isinstance(mode, RunningMode):
        return mode
    names = list(RunningMode.__members__)
    return RunningMode[check_choice('running_mode', mode, names)]


def gates_of(model: nn.Module) -> Iterator[nn.Module]:
    """Every gate of a model, one after another.

    Examples:
        >>> from mask_plugins.core.patches import GatedConv2d
        >>> len(list(gates_of(nn.Sequential(GatedConv2d(3, 4, 3)))))
        1
    """
    return (m for m in model.modules() if hasattr(m, 'set_own_running_mode'))


def set_running_mode(model: nn.Module, mode) -> None:
    """Put a whole model in a phase, both sides of it.

    Parameters that the user had frozen before the first call stay frozen in
    every mode. Calling it twice changes nothing, and so does the order of
    calls.

    Args:
        model (nn.Module): With or without gates.
        mode (RunningMode | str): The phase.

    Raises:
        ValueError: If the mode is unknown.

    Examples:
        >>> from mask_plugins.core.patches import GatedConv2d
        >>> conv = GatedConv2d(3, 4, 3, gate='pooled')
        >>> set_running_mode(conv, 'GatePreTrain')
        >>> conv.weight.requires_grad, conv.gate.logit.weight.requires_grad
        (False, True)
    """
    mode = check_running_mode(mode)
    before = model.__dict__.setdefault(_BEFORE, {})
    for path, module in model.named_modules():
        # A part that was put in a mode by itself knows what was frozen then.
        for name, own in module.__dict__.get(_BEFORE, {}).items():
            before.setdefault(f'{path}.{name}' if path else name, own)
    gates = list(gates_of(model))
    gated = {id(p) for gate in gates for p in gate.parameters()}
    for name, parameter in model.named_parameters():
        own = before.setdefault(name, parameter.requires_grad)
        gate, rest = mode.trains_gates, mode.trains_backbone
        trains = gate if id(parameter) in gated else rest
        parameter.requires_grad_(own and trains)
    for gate in gates:
        gate.set_own_running_mode(mode)
        gate.train(model.training)
