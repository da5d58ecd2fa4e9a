# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A whole cascade in one file."""

import json
from typing import Any, Dict, NamedTuple

from torch import Tensor, nn

from mask_plugins.core.weights import Adapter, load_masks
from mask_plugins.functional.combine import METHODS, Combination
from mask_plugins.functional.router import Router
from mask_plugins.utils.checks import PathLike, check_choice
from mask_plugins.utils.tensor_files import read_tensors, write_tensors

KIND = 'cascade'
DISPATCHER = 'dispatcher'
_TEXTS = ('settings', 'base_sha256', 'bases', 'info')


class CascadeFile(NamedTuple):
    """What :class:`mask_plugins.CascadeClassifier` consists of.

    Args:
        base (dict[str, Tensor]): Weights of the backbone without masks.
        adapters (dict[str, Adapter]): ``dispatcher``, ``expert_0`` and so on.
        router (Router): Chooses the expert.
        combination (Combination): Makes one representation.
        weight (Tensor): Of the linear classifier, :math:`(C, D)`.
        bias (Tensor): Of the same, :math:`(C,)`.

    Examples:
        >>> CascadeFile._fields[:2]
        ('base', 'adapters')
    """

    base: Dict[str, Tensor]
    adapters: Dict[str, Adapter]
    router: Router
    combination: Combination
    weight: Tensor
    bias: Tensor

    def check(self) -> 'CascadeFile':
        """Itself, if its parts fit together.

        Raises:
            ValueError: If not; it says what.
        """
        experts = len(self.router.check().weights)
        wanted = {DISPATCHER, *(f'expert_{i}' for i in range(experts))}
        if set(self.adapters) != wanted:
            raise ValueError(
                f'a router of {experts} clusters needs the adapters '
                f'{sorted(wanted)}, got {sorted(self.adapters)}'
            )
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                'the classifier must have a weight (C, D) and a bias (C,), '
                f'got {tuple(self.weight.shape)} and {tuple(self.bias.shape)}'
            )
        finite = (self.weight, self.bias, *filter(
            lambda x: x is not None, self.combination[1:]
        ))  # fmt: skip
        if not all(tensor.isfinite().all() for tensor in finite):
            raise ValueError('the classifier has NaN or infinity')
        return self

    def load(self, backbone: nn.Module) -> nn.Module:
        """Give a backbone the base and all adapters; the dispatcher is on.

        Args:
            backbone (nn.Module): Without masks.

        Raises:
            ValueError: If the weights or masks do not fit.
        """
        own = backbone.state_dict()
        if own.keys() != self.base.keys() or any(
            own[key].shape != value.shape for key, value in self.base.items()
        ):
            different = sorted(own.keys() ^ self.base.keys())[:3]
            raise ValueError(
                f'the file is of another backbone (such as {different})'
            )
        backbone.load_state_dict(self.base)
        backbone.requires_grad_(False)
        for name, adapter in self.adapters.items():
            load_masks(backbone, adapter, name, activate=name == DISPATCHER)
        return backbone


def write_cascade(cascade: CascadeFile, path: PathLike) -> None:
    """Write a cascade; the file appears whole or not at all.

    Args:
        cascade (CascadeFile): What to write.
        path (str | os.PathLike): Ends in ``.safetensors``.
    """
    cascade.check()
    tensors = {f'base/{key}': value for key, value in cascade.base.items()}
    texts: Dict[str, str] = dict(method=cascade.combination.method)
    described: Dict[str, Any] = {}
    for name, adapter in cascade.adapters.items():
        for part in ('masks', 'state'):
            for key, value in getattr(adapter, part).items():
                tensors[f'{name}/{part}/{key}'] = value
        described[name] = {key: getattr(adapter, key) for key in _TEXTS}
    texts['adapters'] = json.dumps(described)
    for name in ('mean', 'projection'):
        if getattr(cascade.combination, name) is not None:
            tensors[f'combination/{name}'] = getattr(cascade.combination, name)
    for name, value in cascade.router._asdict().items():
        tensors[f'router/{name}'] = value
    tensors.update(weight=cascade.weight, bias=cascade.bias)
    # Tensors that share memory cannot be written.
    tensors = {key: value.clone() for key, value in tensors.items()}
    write_tensors(path, KIND, tensors, texts)


def read_cascade(path: PathLike) -> CascadeFile:
    """Read what :func:`write_cascade` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or not such a file.

    Examples:
        >>> read_cascade('nowhere')
        Traceback (most recent call last):
        ...
        FileNotFoundError: no cascade file: 'nowhere'
    """
    tensors, texts = read_tensors(path, KIND)

    def part(prefix: str) -> Dict[str, Tensor]:
        start = f'{prefix}/'
        return {
            key[len(start) :]: value
            for key, value in tensors.items()
            if key.startswith(start)
        }

    try:
        adapters = {
            name: Adapter(
                masks=part(f'{name}/masks'), state=part(f'{name}/state'), **one
            ).check()
            for name, one in json.loads(texts['adapters']).items()
        }
        method = check_choice('method', texts['method'], METHODS)
        return CascadeFile(
            part('base'),
            adapters,
            Router(**part('router')),
            Combination(method, **part('combination')),
            tensors['weight'],
            tensors['bias'],
        ).check()
    except Exception as error:  # whatever it is, the file is at fault
        raise ValueError(f'{path!r} is damaged: {error!r}') from error
