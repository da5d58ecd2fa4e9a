# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Two of four: the sparsity that sparse tensor cores compute with."""

from typing import List

import torch
from torch import Tensor, nn

_GROUP, _KEPT = 4, 2


def fits_two_of_four(shape: torch.Size) -> bool:
    """Whether a weight of this shape has groups of four inputs.

    Args:
        shape (torch.Size): Outputs, inputs and perhaps a kernel.

    Returns:
        bool: Whether there is a second dimension, a multiple of 4.

    Examples:
        >>> fits_two_of_four((16, 8, 3, 3)), fits_two_of_four((16, 3, 3, 3))
        (True, False)
    """
    return len(shape) > 1 and shape[1] > 0 and shape[1] % _GROUP == 0


def keep_two_of_four(values: Tensor) -> Tensor:
    """Of each four neighbors along the input dimension keep the highest two.

    "Accelerating Sparse Deep Neural Networks" (Mishra et al.,
    arXiv:2104.08378). Of equal values the later ones go first; NaN is lowest.

    Args:
        values (Tensor): :math:`(O, I, ...)` with I a multiple of 4, of a
            linear layer or a convolution, where a group is four channels at
            one place of the kernel.

    Returns:
        Tensor: bool, of the same shape.

    Raises:
        ValueError: If I is not a multiple of 4.

    Examples:
        >>> keep_two_of_four(torch.tensor([[1.0, 4.0, 3.0, 3.0]]))
        tensor([[False,  True,  True, False]])
    """
    groups = _groups(values).nan_to_num(nan=-torch.inf)
    order = groups.argsort(dim=2, descending=True, stable=True)
    on = torch.zeros_like(groups, dtype=torch.bool)
    return on.scatter_(2, order[:, :, :_KEPT], True).view(values.shape)


def is_two_of_four(weight: Tensor) -> bool:
    """Whether at most two of each four inputs are other than zero.

    Args:
        weight (Tensor): A weight or a mask, :math:`(O, I, ...)`.

    Examples:
        >>> is_two_of_four(torch.tensor([[0.0, 4.0, 3.0, 0.0]]))
        True
        >>> is_two_of_four(torch.ones(2, 3))
        False
    """
    if not fits_two_of_four(weight.shape):
        return False
    return bool((_groups(weight != 0).sum(dim=2) <= _KEPT).all())


@torch.no_grad()
def to_semi_structured(model: nn.Module) -> List[str]:
    """Give linear layers that are two of four the sparse form of torch.

    For inference on a GPU with sparse tensor cores (Ampere and later), of a
    model whose masks are merged, in fp16 or bf16. PyTorch has no sparse
    convolution: convolutions stay as they are.

    Args:
        model (nn.Module): On the GPU; changed in place.

    Returns:
        list[str]: Names of the weights that are sparse now: of each
        ``nn.Linear`` that is two of four, with outputs a multiple of 32 and
        inputs a multiple of 64, which the kernels ask for.

    Raises:
        ValueError: If such a weight is not fp16 or bf16 on such a GPU.

    Examples:
        >>> to_semi_structured(nn.Linear(64, 32))  # dense: left as it is
        []
    """
    found = [
        (f'{path}.weight' if path else 'weight', module)
        for path, module in model.named_modules()
        if type(module) is nn.Linear
        and module.out_features % 32 == 0
        and module.in_features % 64 == 0
        and is_two_of_four(module.weight)
    ]
    for name, module in found:
        weight = module.weight
        half = weight.dtype in (torch.float16, torch.bfloat16)
        cores = weight.is_cuda and torch.cuda.get_device_capability(
            weight.device
        ) >= (8, 0)
        if not (half and cores):
            raise ValueError(
                f'{name} must be fp16 or bf16 on a GPU with sparse tensor '
                'cores (compute capability 8.0), got '
                f'{weight.dtype} on {weight.device}'
            )
    for _, module in found:
        sparse = torch.sparse.to_sparse_semi_structured(module.weight)
        module.weight = nn.Parameter(sparse, requires_grad=False)
    return [name for name, _ in found]


def _groups(values: Tensor) -> Tensor:
    """:math:`(O, I, ...)` as :math:`(O, I / 4, 4, ...)`."""
    if not fits_two_of_four(values.shape):
        raise ValueError(
            'the input dimension must be a multiple of 4, got shape '
            f'{tuple(values.shape)}'
        )
    return values.unflatten(1, (-1, _GROUP))
