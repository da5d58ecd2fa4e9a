# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Masked weights in one pass over memory: compiled kernels for CPUs.

The autograd functions of :mod:`.score_product` and :mod:`.soft` call
these where :func:`fusable` says so, and are plain torch elsewhere. Products of
score masks are those of torch to the bit. Sigmoids differ in the last bits of
the exponential, sums in their order.
"""

import ctypes
from functools import lru_cache
from typing import Dict, Optional, Tuple

import torch
from torch import Tensor, nn

from mask_plugins.native import library
from mask_plugins.utils.compat_torch import is_compiling

_PLAIN = (Tensor, nn.Parameter)
_SUFFIX = {torch.float32: 'float', torch.bfloat16: 'bfloat16'}
_POINTER, _LONG, _INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
_FLOAT = ctypes.c_float
Known = Dict[Tuple[int, bool], Optional[Tuple[Tensor, Tensor]]]
# Of each kernel what it returns, and its arguments.
_KERNELS = dict(
    score_counts=(None, *[_POINTER] * 2, _LONG, _LONG, _FLOAT, _POINTER),
    score_products=(
        None, *[_POINTER] * 4, _LONG, _LONG, _FLOAT, *[_POINTER] * 2, _INT,
    ),
    score_gradients=(None, *[_POINTER] * 4, _LONG, _LONG, *[_POINTER] * 2),
    soft_product=(ctypes.c_double, *[_POINTER] * 3, _LONG, _FLOAT, _FLOAT),
    soft_gradients=(None, *[_POINTER] * 5, _LONG, *[_FLOAT] * 3),
)  # fmt: skip


def fusable(weight: Tensor, mask: Tensor) -> bool:
    """Whether there is a kernel for a weight and its scores or logits.

    Args:
        weight (Tensor): The weight, in its own dtype.
        mask (Tensor): Scores or logits of the same shape.

    Returns:
        bool: True for float32 or bfloat16 weights with float32 masks, on the
        CPU, laid out alike, contiguous or channels last, that nothing traces.

    Examples:
        >>> fusable(torch.ones(2), torch.ones(2, dtype=torch.float64))
        False
    """
    return (
        runs(weight, mask)
        and weight.dtype in _SUFFIX
        and mask.dtype == torch.float32
        and weight.device.type == mask.device.type == 'cpu'
        and _same_order(weight, mask)
    )


def runs(*tensors: Tensor) -> bool:
    """Whether there are kernels at all, and nothing traces or fakes tensors.

    Args:
        *tensors (Tensor): What would be computed with.

    Examples:
        >>> runs(torch.ones(2)) == (library() is not None)
        True
    """
    return (
        not is_compiling()
        and all(type(tensor) in _PLAIN for tensor in tensors)
        and not torch.jit.is_tracing()
        and torch._C._len_torch_dispatch_stack() == 0
        and library() is not None
    )


def score_products(
    weight: Tensor,
    scores: Tensor,
    on: Optional[Tensor],
    level: float,
    scale: bool,
    chunks: int,
    known: Optional[Known] = None,
) -> Tuple[Tensor, ...]:
    """The product of a weight and its score mask.

    Args:
        weight (Tensor): See :func:`fusable`.
        scores (Tensor): See :func:`fusable`.
        on (Tensor, optional): bool, what is on; None for scores above
            ``level``.
        level (float): Threshold of the scores.
        scale (bool): Multiply by sqrt(N / n).
        chunks (int): Parts along the first dimension with a scale of their
            own.
        known (dict, optional): Counts and factors of the last call, by the
            version of the scores and the mode; changed in place. While they
            hold, one pass is enough. It counts as well, as writes to ``.data``
            have no version. Defaults to None.

    Returns:
        tuple[Tensor, ...]: The product; with ``scale`` also how many are on
        in each chunk (at least 1) and its factor, as scalars if there is one.

    Examples:
        >>> if library():
        ...     w, s = torch.ones(2), torch.tensor([1.0, -1.0])
        ...     print(score_products(w, s, None, 0.0, False, 1)[0])
        ... else:
        ...     print('tensor([1., 0.])')
        tensor([1., 0.])
    """
    product = torch.empty_like(weight)
    size = weight.numel() // chunks
    on = None if on is None else _like(on, weight)

    def multiply(factors, counts, backwards):
        _call(
            'score_products', weight, scores, on, product, size, chunks,
            level, factors, counts, backwards,
        )  # fmt: skip

    if not scale:
        multiply(None, None, False)
        return (product,)
    shape = (chunks,) if chunks > 1 else ()
    counts = weight.new_empty(shape, dtype=torch.float32)
    known = {} if known is None else known
    version = 0 if scores.is_inference() else scores._version
    # tensors made in inference mode cannot be saved for a backward pass
    key = version, torch.is_inference_mode_enabled()
    likely = known.get(key)
    if likely is not None:
        multiply(likely[1], counts, False)
        if counts.equal(likely[0]):
            return product, *likely
    _call('score_counts', scores, on, size, chunks, level, counts)
    factors = (size / counts).sqrt()
    # what was counted last is still in a cache
    multiply(factors, None, True)
    found = None if key in known else (counts, factors)
    known.clear()
    known[key] = found  # None: what this version says does not hold
    return product, counts, factors


def score_gradient(
    grad: Tensor, weight: Tensor, chunks: int, *kept: Tensor
) -> Tensor:
    """The gradient of the scores.

    Args:
        grad (Tensor): Of the product.
        weight (Tensor): The weight.
        chunks (int): As for the product.
        *kept (Tensor): With a scale all that :func:`score_products` returned.

    Returns:
        Tensor: float32.

    Examples:
        >>> grad, weight = torch.ones(2), torch.tensor([1.0, 2.0])
        >>> if runs(weight):
        ...     assert score_gradient(grad, weight, 1).equal(grad * weight)
    """
    out = torch.empty_like(weight, dtype=torch.float32)
    product, counts, factors = kept or (None, None, None)
    _call(
        'score_gradients', _like(grad, weight), weight, product, out,
        weight.numel() // chunks, chunks, counts, factors,
    )  # fmt: skip
    return out


def soft_product(
    weight: Tensor, logits: Tensor, temperature: float, scale: float
) -> Tuple[Tensor, float]:
    """The product of a weight and its soft mask, and the sum of the mask.

    Args:
        weight (Tensor): See :func:`fusable`.
        logits (Tensor): See :func:`fusable`.
        temperature (float): Inverse temperature.
        scale (float): The constant c.

    Returns:
        tuple[Tensor, float]: The product; the sum of all sigmoids.

    Examples:
        >>> w, s = torch.ones(3), torch.zeros(3)
        >>> if runs(w):
        ...     product, total = soft_product(w, s, 1.0, 2.0)
        ...     assert product.equal(w) and total == 1.5
    """
    product = torch.empty_like(weight)
    total = _call(
        'soft_product', weight, logits, product, weight.numel(), temperature,
        scale,
    )  # fmt: skip
    return product, total


def soft_gradients(
    grad: Tensor,
    weight: Tensor,
    logits: Tensor,
    temperature: float,
    scale: float,
    grad_sum: float,
    needed: Tuple[bool, bool],
) -> Tuple[Optional[Tensor], Optional[Tensor]]:
    """The gradients of the weight and of the logits.

    The sigmoid is computed again: that is faster than to read it, and saves
    its memory.

    Args:
        grad (Tensor): Of the product.
        weight (Tensor): The weight.
        logits (Tensor): The logits.
        temperature (float): Inverse temperature.
        scale (float): The constant c.
        grad_sum (float): The gradient of the sum of the mask.
        needed (tuple[bool, bool]): Which of the two.

    Returns:
        tuple[Tensor | None, Tensor | None]: Those that are needed.

    Examples:
        >>> g, w, s = torch.ones(3), torch.ones(3), torch.zeros(3)
        >>> if runs(w):
        ...     of_weight, of_logits = soft_gradients(
        ...         g, w, s, 1.0, 2.0, 0.0, (True, False))
        ...     assert of_weight.equal(g) and of_logits is None
    """
    of_weight = torch.empty_like(weight) if needed[0] else None
    of_logits = torch.empty_like(logits) if needed[1] else None
    _call(
        'soft_gradients', _like(grad, weight), weight, logits, of_weight,
        of_logits, weight.numel(), temperature, scale, grad_sum,
    )  # fmt: skip
    return of_weight, of_logits


def _call(name: str, *args):
    """Call the kernel for the dtype of the first argument."""
    kernel = _kernel(library(), name, args[0].dtype)
    pointers = (x.data_ptr() if isinstance(x, Tensor) else x for x in args)
    return kernel(*pointers, torch.get_num_threads())


@lru_cache(None)
def _kernel(found: ctypes.CDLL, name: str, dtype: torch.dtype):
    kernel = getattr(found, f'mask_plugins_{name}_{_SUFFIX[dtype]}')
    kernel.restype, *arguments = _KERNELS[name]
    kernel.argtypes = [*arguments, _INT]
    return kernel


def _same_order(a: Tensor, b: Tensor) -> bool:
    """Whether both fill their memory, in the same order."""
    return a.shape == b.shape and (
        (a.is_contiguous() and b.is_contiguous())
        or (a.dim() == 4 and _is_last(a) and _is_last(b))
    )


def _is_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last)


def _like(tensor: Tensor, weight: Tensor) -> Tensor:
    """The tensor, in the order of a weight: a copy if it has another."""
    if _same_order(tensor, weight):
        return tensor
    return torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor)
