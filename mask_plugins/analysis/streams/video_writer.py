# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Write frames to a video file, which appears whole or not at all."""

import os
from typing import Optional

import numpy as np

CODECS = {'.mp4': 'mp4v', '.avi': 'MJPG'}


class VideoWriter:
    """A context that writes frames through OpenCV.

    The file is written beside its place and moved there on leaving; an
    exception inside leaves nothing behind.

    Args:
        path (str): Ends in ``.mp4`` or ``.avi``.
        fps (float): Frames per second. Defaults to 10.

    Raises:
        ValueError: If the ending is another, or ``fps`` is not positive.
        OSError: If this OpenCV cannot encode it.
    """

    def __init__(self, path: str, fps: float = 10.0) -> None:
        ending = os.path.splitext(path)[1].lower()
        if ending not in CODECS:
            raise ValueError(
                f'videos end in one of {tuple(CODECS)}, got {path!r}'
            )
        if not fps > 0:
            raise ValueError(f'fps must be above 0, got {fps}')
        self.path = path
        self.fps = fps
        self.count = 0
        # The ending tells OpenCV the container, so it stays the last part.
        self._part = f'{os.path.splitext(path)[0]}.part{ending}'
        self._codec = CODECS[ending]
        self._writer = None
        self._shape: Optional[tuple] = None

    def __enter__(self) -> 'VideoWriter':
        folder = os.path.dirname(os.path.abspath(self.path))
        os.makedirs(folder, exist_ok=True)
        return self

    def write(self, frame: np.ndarray) -> None:
        """Add a frame.

        Args:
            frame (np.ndarray): uint8 RGB, :math:`(H, W, 3)`, H and W even.

        Raises:
            ValueError: If it is of another size than the first.
        """
        import cv2

        if self._writer is None:
            height, width = frame.shape[:2]
            self._shape = frame.shape
            code = cv2.VideoWriter_fourcc(*self._codec)
            self._writer = cv2.VideoWriter(
                self._part, code, self.fps, (width, height)
            )
            if not self._writer.isOpened():
                self._writer = None
                raise OSError(
                    f'this OpenCV cannot write {self._codec} of '
                    f'{width}x{height} to {self.path}'
                )
        if frame.shape != self._shape:
            raise ValueError(
                f'frames must all be {self._shape}, got {frame.shape}'
            )
        self._writer.write(np.ascontiguousarray(frame[..., ::-1]))
        self.count += 1

    def __exit__(self, kind, value, traceback) -> None:
        if self._writer is not None:
            self._writer.release()
        if kind is None and self.count:
            os.replace(self._part, self.path)
        elif os.path.exists(self._part):
            os.remove(self._part)
