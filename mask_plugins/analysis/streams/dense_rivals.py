# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The forms of a dense network that a gated one has to beat."""

import copy
from typing import Callable, Dict, Mapping, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mask_plugins.utils.checks import check_choice
from mask_plugins.utils.timing import Case, time_interleaved

from .packed_conv import pack_convolutions
from .stream_model import last_feature

Step = Callable[[Tensor], Tensor]
DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16)


class Rival(NamedTuple):
    """The fastest dense form of a network in one precision.

    Args:
        name (str): Such as ``'inductor fp32'``.
        step (Callable): From an input, float32, to the last feature.
        ms (dict): Milliseconds of all forms of this precision, by name.
    """

    name: str
    step: Step
    ms: Dict[str, float]


@torch.no_grad()
def dense_rivals(
    network: nn.Module,
    image: Tensor,
    inductor: bool = True,
    rounds: int = 5,
    clock: str = 'wall',
    log: Callable[[str], None] = lambda message: None,
) -> Dict[str, Rival]:
    """Time the forms of a network, in turn; the fastest of each precision.

    They are: as it is (eager), with packed weights (fp32), and compiled by
    inductor with its weights frozen; each in fp32 and bf16.

    Args:
        network (nn.Module): Of :func:`best_dense`.
        image (Tensor): An input :math:`(1, 3, H, W)` of the size that counts;
            frames are channels-last, too.
        inductor (bool): Whether to compile, which takes a minute and a C++
            compiler; what cannot be compiled is told to ``log`` and left out.
            Defaults to True.
        rounds (int): Measurements of each form. Defaults to 5.
        clock (str): See :func:`time_interleaved`. Defaults to ``'wall'``.
        log (Callable): Told about each form. Defaults to nothing.

    Returns:
        dict[str, Rival]: By precision, ``'fp32'`` and ``'bf16'``.

    Examples:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
        >>> rivals = dense_rivals(net, torch.ones(1, 3, 16, 16), False)
        >>> sorted(rivals), sorted(rivals['fp32'].ms)
        (['bf16', 'fp32'], ['eager fp32', 'packed fp32'])
    """
    # In the order of the frames to come: another one is compiled again.
    image = image.contiguous(memory_format=torch.channels_last)
    steps: Dict[str, Step] = {}
    for name, dtype in DTYPES.items():
        own = copy.deepcopy(network).to(dtype)
        forms = dict(eager=own)
        if name == 'fp32':
            forms['packed'] = pack_convolutions(own)
        if inductor:
            forms['inductor'] = torch.compile(copy.deepcopy(own))
        for form, module in forms.items():
            step = in_precision(module, dtype)
            try:
                with torch._inductor.config.patch(freezing=True):
                    step(image)
            except Exception as error:  # whatever a compiler says
                if form != 'inductor':
                    raise
                log(f'{form} {name} left out: {error}'.splitlines()[0])
                continue
            steps[f'{form} {name}'] = step
    cases = {
        name: Case(lambda step=step: step(image))
        for name, step in steps.items()
    }
    times = time_interleaved(cases, rounds, clock=clock)
    ms = {name: 1000 * float(np.median(t)) for name, t in times.items()}
    for name, value in ms.items():
        log(f'dense, {name}: {value:.2f} ms')
    rivals = {}
    for precision in DTYPES:
        own = {k: v for k, v in ms.items() if k.endswith(precision)}
        best = min(own, key=own.get)
        rivals[precision] = Rival(best, steps[best], own)
    return rivals


def in_precision(network: nn.Module, dtype: torch.dtype) -> Step:
    """From an input, float32, to the last feature, in between another one.

    Args:
        network (nn.Module): Of this precision.
        dtype (torch.dtype): The precision.

    Examples:
        >>> in_precision(nn.ReLU(), torch.bfloat16)(torch.ones(1)).dtype
        torch.float32
    """
    feature = last_feature(network)
    return torch.no_grad()(lambda image: feature(image.to(dtype)).float())


def split_rivals(rivals: Mapping[str, Rival], dtype: str) -> Dict[str, Step]:
    """What is timed next to a gated network of a precision.

    Args:
        rivals (Mapping[str, Rival]): Of :func:`dense_rivals`.
        dtype (str): ``'fp32'`` or ``'bf16'``.

    Returns:
        dict[str, Callable]: ``'dense'``, the fastest of this precision, and
        ``'other'``, the fastest of the other one.
    """
    check_choice('dtype', dtype, DTYPES)
    (other,) = set(DTYPES) - {dtype}
    return dict(dense=rivals[dtype].step, other=rivals[other].step)
