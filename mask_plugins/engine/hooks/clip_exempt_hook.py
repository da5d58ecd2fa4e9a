# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Leave some parameters out of gradient clipping."""

from fnmatch import fnmatchcase
from typing import Any, Callable, List, Sequence, Union

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mask_plugins.registry import HOOKS

from .attribute_target import unwrap


@HOOKS.register_module()
class ClipExemptHook(Hook):
    """Clip the gradients of all other parameters as if these were not there.

    A single scalar can take over the global norm: the gradient of HGSL's
    alpha is 1000 times the loss's gap at the start, which under
    ``clip_grad=dict(max_norm=5)`` scales all gradients by about 1/60.
    It works with any optimizer wrapper (AMP too) and constructor. Without
    the hook all are clipped together, as in HGSL's released code.

    Args:
        names (str | Sequence[str]): Shell patterns of parameters' names.
            Defaults to ``'head.alpha'``.

    Raises:
        ValueError: Before training, if a pattern matches no parameter.

    Examples:
        >>> ClipExemptHook('head.alpha').names
        ('head.alpha',)
    """

    def __init__(
        self, names: Union[str, Sequence[str]] = ('head.alpha',)
    ) -> None:
        self.names = (names,) if isinstance(names, str) else tuple(names)

    def before_train(self, runner: Runner) -> None:
        """Take the parameters out of what the wrapper clips."""
        found = dict(unwrap(runner.model).named_parameters())
        exempt = []
        for pattern in self.names:
            matching = [p for n, p in found.items() if fnmatchcase(n, pattern)]
            if not matching:
                raise ValueError(f'names: {pattern!r} matches no parameter')
            exempt += matching
        wrapper = runner.optim_wrapper
        if getattr(wrapper, 'clip_grad_kwargs', None):
            wrapper.clip_func = _Except(wrapper.clip_func, exempt)


class _Except:
    """A clipping function that does not see some parameters."""

    def __init__(self, clip: Callable, exempt: List[Tensor]) -> None:
        # Two calls of `train` must not stack up.
        self.clip = clip.clip if isinstance(clip, _Except) else clip
        self.exempt = {id(parameter) for parameter in exempt}

    def __call__(self, parameters: List[Tensor], **kwargs) -> Any:
        rest = [p for p in parameters if id(p) not in self.exempt]
        return self.clip(rest, **kwargs) if rest else None
