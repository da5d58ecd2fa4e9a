# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A loss of two feature maps of two networks."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import torch.nn.functional as F
from torch import Tensor, nn

from mask_plugins.models.layer_by_name import find_layer
from mask_plugins.utils.checks import check_pair, check_type

from .logit_loss import build_logit_loss


class FeatureLoss(nn.Module):
    """Compare the output of a layer of the student with a teacher's.

    A layer may give several tensors (a tuple, or one per call, as the head of
    a detector does per level): they are compared one by one, and the losses
    averaged. A target of another height and width is resized bilinearly.

    Args:
        student (str): Layer of the student, such as ``'backbone.layer4'``.
        teacher (str): Layer of the teacher.
        loss (str | dict | nn.Module): See
            :func:`mask_plugins.models.losses.build_logit_loss`; called with
            maps :math:`(N, C, H, W)`.
        channels (tuple[int, int], optional): Channels of the student's and of
            the teacher's map. A 1x1 convolution without bias, which is
            trained, makes the first the second. Defaults to None: they are
            equally many.

    Raises:
        TypeError, ValueError: If an argument is not one of the allowed.

    Examples:
        >>> import torch
        >>> loss = FeatureLoss('a', 'b', 'l2', channels=(4, 8))
        >>> loss([torch.ones(2, 4, 6, 6)], [torch.ones(2, 8, 3, 3)]).shape
        torch.Size([])
    """

    def __init__(
        self,
        student: str,
        teacher: str,
        loss: Union[str, dict, nn.Module],
        channels: Optional[Tuple[int, int]] = None,
    ) -> None:
        super().__init__()
        self.student = check_type('student', student, str, 'a path')
        self.teacher = check_type('teacher', teacher, str, 'a path')
        self.loss = build_logit_loss(loss, name='loss')
        self.connector = None
        if channels is not None:
            channels = check_pair('channels', channels, low=1)
            self.connector = nn.Conv2d(*channels, 1, bias=False)

    def forward(self, preds: List[Tensor], targets: List[Tensor]) -> Tensor:
        """The loss.

        Args:
            preds (list[Tensor]): What the student's layer gave.
            targets (list[Tensor]): What the teacher's gave, as many.

        Returns:
            Tensor: Scalar.

        Raises:
            ValueError: If a layer gave nothing, or they do not fit.
        """
        self._check(preds, targets)
        losses = []
        for pred, target in zip(preds, targets):
            if self.connector is not None:
                pred = self.connector(pred)
            size = pred.shape[2:]
            if pred.ndim == target.ndim == 4 and size != target.shape[2:]:
                target = F.interpolate(
                    target, size=size, mode='bilinear', align_corners=False
                )
            if pred.shape != target.shape:
                raise ValueError(
                    f'{self.student!r} of the student has the shape '
                    f'{tuple(pred.shape)}, {self.teacher!r} of the teacher '
                    f'{tuple(target.shape)}: give channels=(own, its) of '
                    'that loss if they differ in channels'
                )
            losses.append(self.loss(pred, target))
        return sum(losses) / len(losses)

    def _check(self, preds: List[Tensor], targets: List[Tensor]) -> None:
        for name, layer, found in (
            ('student', self.student, preds),
            ('teacher', self.teacher, targets),
        ):
            if not found:
                raise ValueError(
                    f'{name} must be a layer that the forward pass calls, got '
                    f'{layer!r}: name a layer inside it'
                )
        if len(preds) != len(targets):
            raise ValueError(
                f'{self.student!r} of the student gave {len(preds)} tensors, '
                f'{self.teacher!r} of the teacher {len(targets)}'
            )


@contextmanager
def capture_maps(
    model: nn.Module, layers: Sequence[str]
) -> Iterator[Dict[str, List[Tensor]]]:
    """Collect the outputs of layers while the block runs.

    Args:
        model (nn.Module): Has the layers.
        layers (Sequence[str]): Their paths.

    Yields:
        dict[str, list[Tensor]]: For each path all tensors that it gave.

    Examples:
        >>> import torch
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
        >>> with capture_maps(model, ['0']) as maps:
        ...     out = model(torch.ones(1, 3, 2, 2))
        >>> [tuple(tensor.shape) for tensor in maps['0']]
        [(1, 4, 2, 2)]
    """
    maps: Dict[str, List[Tensor]] = {layer: [] for layer in layers}
    handles = []
    for layer, found in maps.items():

        def take(module, args, output, found=found) -> None:
            found.extend(_tensors(output))

        handles.append(find_layer(model, layer).register_forward_hook(take))
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def _tensors(output: Any) -> List[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        return [tensor for part in output for tensor in _tensors(part)]
    return []
