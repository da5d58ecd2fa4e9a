# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Frames of a video, a folder, a camera, or drawn ones, one after another."""

import itertools
import logging
import os
from typing import Iterator, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from mask_plugins.datasets import SyntheticClips
from mask_plugins.datasets.video import read_frames, resize_frame
from mask_plugins.utils.checks import (
    PathLike,
    check_int,
    check_pair,
    check_path,
)

# Of ImageNet, on 0..255.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


class FrameSource:
    """Frames in order, resized, as uint8 RGB.

    A video that ends early or is corrupt ends the stream at its last good
    frame; images that cannot be read are named in a warning and left out.

    Args:
        source (str | Path, optional): A video file or a folder of images;
            None: a synthetic scene, a moving object before a static
            background with sensor noise. Defaults to None.
        camera (int, optional): Number of a camera, instead. Defaults to None.
        size (int | tuple[int, int]): Height and width of the frames. Defaults
            to 512.
        limit (int, optional): Frames at most. Defaults to None: all; of the
            synthetic scene 120.
        skip (int): Frames to leave out at the beginning. Defaults to 0.
        seed (int): Of the synthetic scene. Defaults to 0.

    Raises:
        ValueError: If a number is out of its range, or both a source and a
            camera are given.
        FileNotFoundError: If there is no such file or folder.
        OSError: If nothing can be read from it.

    Examples:
        >>> [frame.shape for frame in FrameSource(size=32, limit=2)]
        [(32, 32, 3), (32, 32, 3)]
    """

    SYNTHETIC = 120

    def __init__(
        self,
        source: Optional[PathLike] = None,
        camera: Optional[int] = None,
        size: Union[int, Tuple[int, int]] = 512,
        limit: Optional[int] = None,
        skip: int = 0,
        seed: int = 0,
    ) -> None:
        if source is not None:
            if camera is not None:
                both = f'{source!r} and {camera}'
                raise ValueError(f'give a source or a camera, got {both}')
            source = check_path('source', source)
            if not os.path.exists(source):
                raise FileNotFoundError(f'video or folder not found: {source}')
        self.source = source
        self.camera = check_int('camera', camera, 0, optional=True)
        self.size = check_pair('size', size, low=16, single=True)
        self.limit = check_int('limit', limit, 1, optional=True)
        self.skip = check_int('skip', skip, 0)
        self.seed = check_int('seed', seed)

    @property
    def name(self) -> str:
        """What the frames are of, for titles."""
        if self.camera is not None:
            return f'camera {self.camera}'
        if self.source is None:
            return 'synthetic scene'
        return os.path.basename(os.path.normpath(self.source))

    def __iter__(self) -> Iterator[np.ndarray]:
        end = None if self.limit is None else self.skip + self.limit
        frame = None
        for frame in itertools.islice(self._read(), self.skip, end):
            yield resize_frame(frame, self.size)
        if frame is None:
            raise OSError(f'no frame in {self.name} after {self.skip}')

    def _read(self) -> Iterator[np.ndarray]:
        if self.camera is None and self.source is None:
            side = max(4, min(self.size) // 6)  # the least that clips allow
            clips = SyntheticClips(
                1,
                self.skip + (self.limit or self.SYNTHETIC),
                self.size,
                object_size=(side, side + 1),
                noise=1.0,
                seed=self.seed,
            )
            yield from clips[0]['img']
            return
        source = self.source if self.camera is None else self.camera
        for file, frame in read_frames(source):
            if frame is None:
                message = f'FrameSource: {file} cannot be read; left out'
                print_log(message, 'current', logging.WARNING)
            else:
                yield frame


def to_input(
    frame: np.ndarray,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
) -> Tensor:
    """A frame as the network takes it.

    Args:
        frame (np.ndarray): uint8 RGB, :math:`(H, W, 3)`.
        mean (Sequence[float]): On 0..255. Defaults to that of ImageNet.
        std (Sequence[float]): The same.

    Returns:
        Tensor: :math:`(1, 3, H, W)`, fp32, channels_last, normalized.

    Examples:
        >>> to_input(np.zeros((4, 6, 3), np.uint8)).shape
        torch.Size([1, 3, 4, 6])
    """
    image = torch.from_numpy(frame).float()
    image = (image - image.new_tensor(mean)) / image.new_tensor(std)
    # (H, W, C) in memory is what channels_last means.
    return image.permute(2, 0, 1)[None]
