# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The optimizer that Self-Masking Networks call sgdc."""

from typing import Any, Callable, Optional

import torch
from torch.optim import SGD
from torch.optim.sgd import sgd

from mask_plugins.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class SGDConstantDecay(SGD):
    r"""SGD whose decay is a constant pull, whatever the parameter.

    Where SGD adds :math:`w\,p` to the gradient, this adds :math:`w` itself, so
    that a score without gradient falls by :math:`\eta w` per step (more with
    momentum) and is pruned when it passes the threshold. Without decay it is
    SGD, bit for bit. Used by Self-Masking Networks (GCPR 2024), whose recipes
    have no decay on scores and 1e-6 on the head.

    Args:
        params (Iterable): Parameters or groups.
        lr (float): Learning rate. Defaults to 1e-3.
        **kwargs: See :class:`torch.optim.SGD`; ``weight_decay`` is what is
            added to every gradient.

    Raises:
        ValueError: If ``fused=True``: the kernel has the usual decay in it.

    Examples:
        >>> score = torch.nn.Parameter(torch.tensor([5.0]))
        >>> score.grad = torch.zeros(1)
        >>> SGDConstantDecay([score], lr=0.5, weight_decay=0.1).step()
        >>> round(score.item(), 3)
        4.95
    """

    def __init__(self, params: Any, lr: float = 1e-3, **kwargs: Any) -> None:
        if kwargs.get('fused'):
            raise ValueError('fused=True has no constant decay: leave it out')
        super().__init__(params, lr, **kwargs)

    @torch.no_grad()
    def step(self, closure: Optional[Callable] = None) -> Optional[float]:
        """Take one step.

        Args:
            closure (Callable, optional): Evaluates the model again and
                returns the loss. Defaults to None.

        Raises:
            RuntimeError: If a gradient is sparse while there is decay.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict) -> None:
        params = [p for p in group['params'] if p.grad is not None]
        if not params:
            return
        grads = [p.grad for p in params]
        sparse = any(grad.is_sparse for grad in grads)
        decay = group['weight_decay']
        if decay:
            if sparse:
                raise RuntimeError('weight_decay needs dense gradients')
            # torch flips the sign of the gradient when it maximizes, before
            # the decay: the pull is always downwards.
            sign = -1 if group['maximize'] else 1
            grads = list(torch._foreach_add(grads, sign * decay))
        buffers = [self.state[p].get('momentum_buffer') for p in params]
        names = 'foreach momentum lr dampening nesterov maximize'.split()
        options = {name: group[name] for name in names}
        options.update(has_sparse_grad=sparse, weight_decay=0.0)
        sgd(params, grads, buffers, **options)
        if group['momentum']:
            for parameter, buffer in zip(params, buffers):
                self.state[parameter]['momentum_buffer'] = buffer
