# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Whether a chain computes what the forward of its layer does."""

import copy
from functools import reduce
from typing import List, Tuple

import torch
from torch import Tensor, nn

from mask_plugins.utils.compat_torch import autocast_dtype

from ..composed import Composed
from .chain import Chain

#: In fp64 both ways differ by rounding alone: about 1e-16 for each of the
#: some 1e4 products that are summed up for a value, over three convolutions.
TOLERANCE = 1e-9
#: On a map of the network, of its dtype: rounding of the same order as in
#: TOLERANCE, of values and of the maps between convolutions.
MAP_TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-3}
HALF_TOLERANCE = 0.05
ADVICE = (
    "gate its convolutions with place='conv', or leave it dense by a rule "
    "with action 'skip'"
)


def check_chain(layer: nn.Module, chain: Chain) -> None:
    """Refuse a layer whose chain is not all of its forward.

    A chain is made of the parts that a layer has, by their names; the
    layer's forward may do more with them, or in another order. So both are
    compared, in fp64 on a small random map, on a copy with random weights and
    statistics: a part that happens to be zero hides nothing. The layer, its
    buffers and torch's random numbers stay as they are.

    Args:
        layer (GatedLayer): The layer, with its gate.
        chain (Chain): What was made of it.

    Raises:
        TypeError: If a part has hooks or a forward of its own, a parameter
            or buffer is not used by the chain, or the results differ.
    """
    kind = type(layer).__name__
    for part in (layer, *layer.parts()):
        hooks = part._forward_hooks or part._forward_pre_hooks
        if 'forward' in part.__dict__ or (hooks and part is not layer):
            has = f'{type(part).__name__} of {kind} has'
            raise TypeError(f'{has} forward hooks or its own: {ADVICE}')
    stem = isinstance(layer, nn.Conv2d) and len(chain.steps) > 1
    if stem or _is_conv(layer):
        return  # nothing else happens in it; of a stem, see there
    used = {id(tensor) for tensor in chain.tensors()}
    gate = {id(tensor) for tensor in _tensors(layer.gate)}
    for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
        counter = name.endswith('num_batches_tracked')
        if id(tensor) not in used | gate and not counter:
            raise TypeError(f'a gate would not use {name} of {kind}: {ADVICE}')
    try:
        errors = _errors(layer, chain)
    except Exception as error:
        said = f'{kind} cannot be compared with its parts ({error})'
        raise TypeError(f'{said}: {ADVICE}') from error
    if not bool((errors <= TOLERANCE).all()):
        error = f'relative error {errors.max():.2g} on a random map'
        raise TypeError(f'{kind} does more than its parts ({error}): {ADVICE}')


def whole_output(
    layer: nn.Module, chain: Chain, x: Tensor
) -> Tuple[Tensor, List[Tensor]]:
    """The whole output of a layer, and the maps on the way that are cached.

    A forward may choose by size, dtype or batch what it does, and none of
    them is that of a small random map. So the first map of each is computed
    both ways.

    Args:
        layer (GatedLayer): The layer.
        chain (Chain): What was made of it, and checked.
        x (Tensor): Its input, :math:`(B, C, H, W)`.

    Raises:
        TypeError: If the results differ.
    """
    key = (x.shape, x.dtype, x.device, autocast_dtype(x.device.type))
    if key in chain.agreed or _is_conv(layer):
        return chain.dense(x) if chain.cached else (layer.dense(x), [])
    found, expected = chain.dense(x), layer.dense(x)
    size = expected.abs().amax()
    if bool(size.isfinite()):  # of another frame otherwise
        error = (found[0].to(expected.dtype) - expected).abs().amax()
        limit = MAP_TOLERANCES.get(found[0].dtype, HALF_TOLERANCE)
        if found[0].shape != expected.shape or not bool(error <= limit * size):
            said = f'{type(layer).__name__} does more than its parts'
            at = f'on a map of {tuple(x.shape)}, {x.dtype}'
            raise TypeError(f'{said} ({at}): {ADVICE}')
        chain.agreed.add(key)
    return found if chain.cached else (expected, [])


def _is_conv(layer: nn.Module) -> bool:
    """Whether a layer is a convolution with the forward of one."""
    if not isinstance(layer, nn.Conv2d):
        return False
    own = next(
        base.__dict__['forward']
        for base in type(layer).__mro__
        if 'forward' in base.__dict__ and not issubclass(base, Composed)
    )
    return own is nn.Conv2d.forward


@torch.no_grad()
def _errors(layer: nn.Module, chain: Chain) -> Tensor:
    """Largest error of each of two random maps, relative to its size."""
    generator = torch.Generator('cpu').manual_seed(0)
    twin = copy.deepcopy(layer)
    on_meta = any(tensor.is_meta for tensor in _tensors(twin))
    twin = twin.to_empty(device='cpu') if on_meta else twin.cpu()
    twin = twin.double().eval()
    for name, tensor in (*twin.named_parameters(), *twin.named_buffers()):
        if not tensor.is_floating_point():
            continue
        if name.endswith('running_var'):
            tensor.uniform_(0.5, 1.5, generator=generator)
        else:
            inputs = max(tensor[0].numel(), 1) if tensor.ndim > 1 else 1
            tensor.normal_(0, inputs**-0.5, generator=generator)
    size, kinds = (7, 9), chain.geometries
    while min(reduce(lambda side, g: g.out_size(side), kinds, size)) < 2:
        size = (2 * size[0], 2 * size[1])
    channels = chain.steps[0].op.in_channels
    # On the CPU also where a context says that new tensors are elsewhere.
    x = torch.randn(2, channels, *size, generator=generator, device='cpu')
    x = x.double()
    x[1] *= 100  # where a clamp shows
    own = twin.make_chain()
    own.version()
    found = own.dense(x)[0]
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        expected = twin.stock()(x.clone())
    difference = (found - expected).abs().amax((1, 2, 3))
    return difference / expected.abs().amax((1, 2, 3))


def _tensors(module: nn.Module) -> List[Tensor]:
    return [*module.parameters(), *module.buffers()]
