# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Features of live streams, frame by frame."""

from typing import Iterable, Optional, Sequence, Tuple, Union

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mask_plugins.models.stream_session import StreamSession
from mask_plugins.registry import MODELS

Features = Union[Tensor, Tuple[Tensor, ...]]


@MODELS.register_module()
class StreamFeatureExtractor(BaseModel):
    """Run a gated backbone of any project over streams of frames.

    Needs mmengine only, so that the backbone may be one of mmdet or mmseg, or
    any module with gated layers.

    Args:
        backbone (dict | nn.Module): With gates, such as
            :class:`mask_plugins.GatedResNet`.
        neck (dict | nn.Module, optional): Computed densely on the features.
            Defaults to None.
        stream (dict, optional): Arguments of
            :class:`mask_plugins.core.patches.StreamState`. Defaults to None.
        execution (str): ``'auto'``, ``'sparse'`` or ``'dense'``. Defaults to
            ``'auto'``.
        dtype (str): ``'fp32'``, or ``'bf16'`` for caches of half the size;
            the features are then bfloat16. Defaults to ``'fp32'``.
        **kwargs: ``data_preprocessor`` and ``init_cfg`` of ``BaseModel``.

    Raises:
        ValueError: If the backbone has no gated layers.

    Examples:
        >>> from mask_plugins.core.patches import GatedConv2d
        >>> extractor = StreamFeatureExtractor(GatedConv2d(3, 4, 3)).eval()
        >>> for frame in torch.zeros(2, 1, 3, 16, 16):  # of a camera
        ...     feats = extractor.step(frame, ['camera 0'])
        >>> extractor.session.states['camera 0'].frame
        2
    """

    def __init__(
        self,
        backbone: Union[dict, nn.Module],
        neck: Optional[Union[dict, nn.Module]] = None,
        stream: Optional[dict] = None,
        execution: str = 'auto',
        dtype: str = 'fp32',
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.backbone, self.neck = (
            MODELS.build(part) if isinstance(part, dict) else part
            for part in (backbone, neck)
        )
        self.session = StreamSession(self.backbone, stream, execution, dtype)

    @torch.no_grad()
    def step(self, frames: Tensor, streams: Sequence[str]) -> Features:
        """Features of one frame of each stream.

        Args:
            frames (Tensor): :math:`(B, C, H, W)`, normalized.
            streams (Sequence[str]): B different names; a new one begins with
                a frame that is computed in full.

        Returns:
            Tensor | tuple[Tensor]: What the backbone and neck give. Without a
            neck these are caches, which the next frame of the streams
            overwrites: clone what you keep.

        Raises:
            RuntimeError: In training mode.
            ValueError: If there is not one name per frame.
        """

        def call(frames: Tensor) -> Features:
            feats = self.backbone(frames)
            return feats if self.neck is None else self.neck(feats)

        return self.session.run(call, frames, streams)

    def forward(
        self, inputs: Tensor, data_samples=None, mode: str = 'tensor'
    ) -> Features:
        """Features of every frame of clips, each clip a new stream.

        Args:
            inputs (Tensor): Clips :math:`(B, T, C, H, W)`.
            data_samples (list, optional): Not used.
            mode (str): 'tensor'; there is nothing to train or predict.

        Returns:
            Tensor | tuple[Tensor]: :math:`(B, T, *)` of each feature.

        Raises:
            ValueError: If the inputs are not clips, or the mode is another.
        """
        if mode != 'tensor' or inputs.ndim != 5:
            shape = tuple(inputs.shape)
            raise ValueError(f'it takes clips as tensor, got {shape}, {mode}')
        names = [f'clip {i} of a call' for i in range(len(inputs))]
        self.reset(names)
        frames = []
        for x in inputs.unbind(1):
            feats = self.step(x, names)
            single = isinstance(feats, Tensor)
            frames.append([f.clone() for f in ([feats] if single else feats)])
        self.reset(names)
        joined = tuple(torch.stack(level, 1) for level in zip(*frames))
        return joined[0] if single else joined

    def reset(self, streams: Optional[Iterable[str]] = None) -> None:
        """Forget streams, all by default."""
        self.session.reset(streams)
