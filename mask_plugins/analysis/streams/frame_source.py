# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Frames of a video, a folder, a camera, or drawn ones, one after another."""

import os
from typing import Iterator, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from mask_plugins.datasets import SyntheticClips
from mask_plugins.datasets.video_reader import (
    frame_files,
    open_capture,
    resize_frame,
)

# Of ImageNet, on 0..255.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


class FrameSource:
    """Frames in order, resized, as uint8 RGB.

    A video that ends early or is corrupt ends the stream at its last good
    frame; frames that change their size are resized like all others.

    Args:
        source (str, optional): A video file or a folder of images; None: a
            synthetic scene, a moving object before a static background with
            sensor noise. Defaults to None.
        camera (int, optional): Number of a camera, rather. Defaults to None.
        size (int | tuple[int, int], optional): Height and width of the
            frames. Defaults to 512.
        limit (int, optional): Frames at most. Defaults to None: all; of the
            synthetic scene 120.
        skip (int): Frames to leave out at the beginning. Defaults to 0.
        seed (int): Of the synthetic scene. Defaults to 0.

    Raises:
        ValueError: If an argument is out of its range, or both a source and
            a camera are given.
        FileNotFoundError: If there is no such file or folder.
        OSError: If nothing can be read from it.
    """

    SYNTHETIC = 120

    def __init__(
        self,
        source: Optional[str] = None,
        camera: Optional[int] = None,
        size: 'int | Tuple[int, int]' = 512,
        limit: Optional[int] = None,
        skip: int = 0,
        seed: int = 0,
    ) -> None:
        size = (size, size) if isinstance(size, int) else tuple(size)
        if len(size) != 2 or min(size) < 16:
            raise ValueError(f'size must be at least 16 pixels, got {size}')
        if limit is not None and limit < 1:
            raise ValueError(f'limit must be at least 1, got {limit}')
        if skip < 0:
            raise ValueError(f'skip must be at least 0, got {skip}')
        if source is not None and camera is not None:
            raise ValueError(
                f'give a source or a camera, got {source!r} and {camera}'
            )
        if source is not None and not os.path.exists(source):
            raise FileNotFoundError(f'there is no video or folder {source}')
        self.source, self.camera, self.size = source, camera, size
        self.limit, self.skip, self.seed = limit, skip, seed

    @property
    def name(self) -> str:
        """What the frames are of, for titles."""
        if self.camera is not None:
            return f'camera {self.camera}'
        if self.source is None:
            return 'synthetic scene'
        return os.path.basename(os.path.normpath(self.source))

    def __iter__(self) -> Iterator[np.ndarray]:
        done = 0
        for number, frame in enumerate(self._read()):
            if number < self.skip:
                continue
            if self.limit is not None and done == self.limit:
                return
            yield self._resized(frame)
            done += 1
        if not done:
            raise OSError(
                f'no frame could be read from {self.name} '
                f'(the first {self.skip} left out)'
            )

    def _read(self) -> Iterator[np.ndarray]:
        if self.camera is None and self.source is None:
            yield from self._draw()
        elif self.camera is None and os.path.isdir(self.source):
            yield from _read_folder(self.source)
        else:
            yield from self._read_capture()

    def _draw(self) -> Iterator[np.ndarray]:
        side = max(4, min(self.size) // 6)  # the least that clips allow
        clips = SyntheticClips(
            num_clips=1,
            clip_len=self.skip + (self.limit or self.SYNTHETIC),
            image_size=self.size,
            object_size=(side, side + 1),
            noise=1.0,
            seed=self.seed,
        )
        yield from clips[0]['img']

    def _read_capture(self) -> Iterator[np.ndarray]:
        capture = open_capture(
            self.source if self.camera is None else self.camera
        )
        try:
            while True:
                good, frame = capture.read()
                if not good or frame is None:
                    return
                yield np.ascontiguousarray(frame[..., ::-1])
        finally:
            capture.release()

    def _resized(self, frame: np.ndarray) -> np.ndarray:
        if frame.shape[:2] == self.size:
            return frame
        return resize_frame(frame, self.size)


def _read_folder(folder: str) -> Iterator[np.ndarray]:
    """Images of a folder in natural order; damaged ones are left out."""
    import cv2

    for path in frame_files(folder):
        frame = cv2.imread(path)
        if frame is not None:
            yield np.ascontiguousarray(frame[..., ::-1])


def to_input(frame: np.ndarray, device: str = 'cpu') -> Tensor:
    """A frame as the network takes it.

    Args:
        frame (np.ndarray): uint8 RGB, :math:`(H, W, 3)`.
        device (str): Defaults to 'cpu'.

    Returns:
        Tensor: :math:`(1, 3, H, W)`, fp32, channels_last, normalized by mean
        and standard deviation of ImageNet.
    """
    image = torch.from_numpy(frame).to(device).float()
    image = (image - image.new_tensor(MEAN)) / image.new_tensor(STD)
    # (H, W, C) in memory is what channels_last means.
    return image.permute(2, 0, 1)[None]
