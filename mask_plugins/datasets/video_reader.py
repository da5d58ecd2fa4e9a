# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Frames of a video file or of a folder of images, by number."""

import os
import re
from typing import Iterator, List, Optional, Tuple, Union

import numpy as np

VIDEOS = ('.avi', '.mp4', '.mkv', '.mov', '.webm', '.mpg', '.mpeg', '.m4v')
IMAGES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')


def natural_key(name: str) -> List[Union[int, str]]:
    """Sort key that has ``frame_2`` before ``frame_10``."""
    parts = re.split(r'(\d+)', name)
    return [int(part) if part.isdigit() else part for part in parts]


def frame_files(folder: str) -> List[str]:
    """Images in a folder, in natural order."""
    names = [n for n in os.listdir(folder) if n.lower().endswith(IMAGES)]
    names = [n for n in names if not n.startswith('.')]
    return [os.path.join(folder, n) for n in sorted(names, key=natural_key)]


def count_frames(path: str) -> Tuple[int, int]:
    """How many frames can be read, and how many the file promises.

    The header of a file that was cut off, or is damaged, promises more than
    there are, so the frames are walked through (without color conversion).

    Args:
        path (str): A video file, or a folder of images.

    Returns:
        tuple[int]: Readable and promised.

    Raises:
        OSError: If OpenCV cannot open the file, or no frame of it.
    """
    if os.path.isdir(path):
        count = len(frame_files(path))
        return count, count
    capture = open_capture(path)
    import cv2

    promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    if not count:
        raise OSError(f'{path}: OpenCV opens it but reads no frame of it')
    return count, promised


def read_clip(
    path: str,
    start: int,
    length: int,
    step: int = 1,
    size: Optional[Tuple[int, int]] = None,
) -> np.ndarray:
    """Frames ``start, start + step, ...`` in order.

    Args:
        path (str): A video file, or a folder of images.
        start (int): Number of the first frame.
        length (int): T, frames.
        step (int): Defaults to 1.
        size (tuple[int], optional): Height and width to resize to.
            Defaults to None.

    Returns:
        np.ndarray: uint8 RGB :math:`(T, H, W, 3)`.

    Raises:
        OSError: If the video ends early or a frame is damaged.
        ValueError: If the size of the frames changes and ``size`` is None.
    """
    wanted = range(start, start + length * step, step)
    read = _folder_frames if os.path.isdir(path) else _video_frames
    frames: List[np.ndarray] = []
    for number, frame in zip(wanted, read(path, wanted)):
        if frame is None:
            raise OSError(
                f'{path}: frame {number} cannot be read (a clip of frames '
                f'{wanted[0]} to {wanted[-1]} was asked for); the video ends '
                'early or is damaged'
            )
        if size is not None and frame.shape[:2] != size:
            frame = resize_frame(frame, size)
        if frames and frame.shape != frames[0].shape:
            raise ValueError(
                f'{path}: frame {number} has {frame.shape[:2]} pixels, the '
                f'clip began with {frames[0].shape[:2]}; give image_size to '
                'bring all frames to one size'
            )
        frames.append(frame)
    return np.stack(frames)


def _folder_frames(
    folder: str, wanted: range
) -> Iterator[Optional[np.ndarray]]:
    import cv2

    files = frame_files(folder)
    for number in wanted:
        bgr = None
        if number < len(files):
            bgr = cv2.imread(files[number], cv2.IMREAD_COLOR)
        yield None if bgr is None else bgr[..., ::-1]


def _video_frames(path: str, wanted: range) -> Iterator[Optional[np.ndarray]]:
    capture = open_capture(path)
    try:
        # Seeking by number is off by some frames in many containers; walking
        # there is exact.
        for _ in range(wanted[0]):
            capture.grab()
        for index, number in enumerate(wanted):
            gap = number - wanted[index - 1] - 1 if index else 0
            for _ in range(gap):
                capture.grab()
            good, bgr = capture.read()
            yield bgr[..., ::-1] if good and bgr is not None else None
    finally:
        capture.release()


def open_capture(source: Union[str, int]):
    """Open a video file, or a camera by its number.

    Raises:
        OSError: If OpenCV cannot.
    """
    import cv2

    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        what = f'camera {source}' if isinstance(source, int) else source
        raise OSError(f'{what}: OpenCV cannot open it as a video')
    return capture


def resize_frame(frame: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """A frame in another height and width; smaller by area."""
    import cv2

    smaller = frame.shape[0] > size[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    frame = np.ascontiguousarray(frame)
    return cv2.resize(frame, (size[1], size[0]), interpolation=how)
