# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a masked weight cannot cost less than: bytes that are moved and kept.

All tensors are float32, and each kernel reads its inputs and writes its
outputs once.

**Score masks, 24 bytes moved.** Forward: scores and weight are read, the
product is written (12). Backward: the product's gradient and the weight are
read, the scores' gradient is written (12). The optimizer moves what it moves
for the weights of the dense step. With the scale sqrt(N / n) it is **36**: n
must be known before the first product is written, so the scores are read
twice (4), and the sum over gradient times product before the first gradient
is, so these two are read once more (8).

**Soft masks, 56 bytes moved.** Forward: logits and weight are read, sigmoid
and product are written (16). Backward: the product's gradient, sigmoid and
weight are read, two gradients are written (20). Weights are trained as well,
so the optimizer has twice as much to do: it reads gradient, momentum and
logits and writes the latter two (20). The compiled kernel computes the sigmoid
twice instead of keeping it, and moves 52.

**Score masks, 9 bytes kept:** scores, product, and a byte for the mask.
**Soft masks, 17:** that, and the gradient and the momentum of the logits (the
optimizer of the dense step has those of the weights, which stand for those of
the scores).
"""

from typing import NamedTuple

import torch
from torch import nn

from mask_plugins.utils.timing import Case

# Far beyond any cache.
COPY_BYTES = 2**28


class Costs(NamedTuple):
    """Bytes per masked weight: moved, with the scale, and kept."""

    moved: int
    as_defined: int
    kept: int


SCORE, SOFT = Costs(24, 36, 9), Costs(56, 56, 17)


def copy_case(device: str, nbytes: int = COPY_BYTES) -> Case:
    """A copy of a large float tensor into one that is there already.

    It moves twice its size: what is read counts, and what is written.

    Examples:
        >>> copy_case('cpu', nbytes=4096).step().numel()
        1024
    """
    source = torch.ones(nbytes // 4, device=device)
    target = torch.empty_like(source)
    return Case(lambda: target.copy_(source))


def held_bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Memory of parameters, buffers and the optimizer's state, in bytes.

    Args:
        model (nn.Module): Storages that are shared count once.
        optimizer (Optimizer): After a step, so that its state is there.
    """
    tensors = [*model.parameters(), *model.buffers()]
    for state in optimizer.state.values():
        tensors += [v for v in state.values() if isinstance(v, torch.Tensor)]
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())
