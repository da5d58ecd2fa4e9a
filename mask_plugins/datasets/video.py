# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Frames of video files and of folders of images: found, read, written."""

import os
import re
from typing import Callable, Iterator, List, Optional, Tuple, Union

import cv2
import numpy as np

from mask_plugins.utils.checks import (
    PathLike,
    check_choice,
    check_path,
)
from mask_plugins.utils.openmmlab import imports_for

VIDEOS = ('.avi', '.mp4', '.mkv', '.mov', '.webm', '.mpg', '.mpeg', '.m4v')
IMAGES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')
FPS = 10.0
CODECS = {'.mp4': 'mp4v', '.avi': 'MJPG'}


def natural_key(name: str) -> List[Union[int, str]]:
    """Sort key that has ``frame_2`` before ``frame_10``.

    Examples:
        >>> sorted(['f10.png', 'f2.png'], key=natural_key)
        ['f2.png', 'f10.png']
    """
    parts = re.split(r'(\d+)', name)  # every second one is a number
    return [int(p) if odd % 2 else p for odd, p in enumerate(parts)]


def files_of(folder: str, endings: Tuple[str, ...]) -> List[str]:
    """Files of a folder with these endings, in natural order."""
    names = [n for n in os.listdir(folder) if n.lower().endswith(endings)]
    names = sorted((n for n in names if n[0] != '.'), key=natural_key)
    return [os.path.join(folder, name) for name in names]


def find_videos(root: str, warn: Callable[[str], None]) -> List[str]:
    """Video files, and folders of frames, at or below a path, sorted.

    Args:
        root (str): A file or folder.
        warn (Callable): Called with a message about each link that leads to
            a folder above itself, and about images next to videos, which are
            not frames; both are left out.
    """
    if os.path.isfile(root):
        return [root]
    found: List[str] = []

    def visit(folder: str, above: Tuple) -> None:
        stat = os.stat(folder)
        place = (stat.st_dev, stat.st_ino)
        if place in above:
            warn(f'{folder} is a link to a folder above it; left out')
            return
        videos, images = files_of(folder, VIDEOS), files_of(folder, IMAGES)
        if videos and images:
            warn(f'images next to videos are not frames: {images[0]}, ...')
        elif images:
            found.append(folder)
        found.extend(path for path in videos if os.path.isfile(path))
        for entry in os.scandir(folder):
            if entry.is_dir() and not entry.name.startswith('.'):
                visit(entry.path, (*above, place))

    visit(root, ())
    return sorted(found, key=natural_key)


def open_capture(source: Union[str, int]) -> cv2.VideoCapture:
    """Open a video file, or a camera by its number.

    Raises:
        OSError: If OpenCV cannot.
    """
    if isinstance(source, str):
        with imports_for('reading a video'):  # other datasets do without
            from mmcv import VideoReader

        capture = VideoReader(source).vcap
    else:
        capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        raise OSError(f'{source}: OpenCV cannot open it as a video')
    return capture


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
        count = len(files_of(path, IMAGES))
        return count, count
    capture, count = open_capture(path), 0
    promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    while capture.grab():
        count += 1
    capture.release()
    if not count:
        raise OSError(f'{path}: OpenCV opens it but reads no frame of it')
    return count, promised


def read_frames(
    source: Union[str, int], start: int = 0, step: int = 1
) -> Iterator[Tuple[str, Optional[np.ndarray]]]:
    """Every so many frames, each with the file that it comes from.

    Seeking by number, as mmcv's ``VideoReader`` does, is off by some frames
    in many containers; walking there is exact.

    Args:
        source (str | int): A video file, a folder of images, or the number
            of a camera.
        start (int): Number of the first frame. Defaults to 0.
        step (int): Defaults to 1.

    Yields:
        tuple[str, np.ndarray | None]: uint8 RGB, :math:`(H, W, 3)`; None for
        an image that cannot be read.

    Raises:
        OSError: If OpenCV cannot open the source.
    """
    if isinstance(source, str) and os.path.isdir(source):
        for path in files_of(source, IMAGES)[start::step]:
            frame = cv2.imread(path, cv2.IMREAD_COLOR)
            yield path, None if frame is None else _as_rgb(frame)
        return
    capture = open_capture(source)
    try:
        wait = start
        while all(capture.grab() for _ in range(wait)):
            good, frame = capture.read()
            if not good or frame is None:
                return
            yield str(source), _as_rgb(frame)
            wait = step - 1
    finally:
        capture.release()


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
    found = read_frames(path, start, step)
    frames: List[np.ndarray] = []
    for number in range(start, start + length * step, step):
        file, frame = next(found, (path, None))
        if frame is None:
            raise OSError(f'{file}: frame {number} of {path} cannot be read')
        frame = frame if size is None else resize_frame(frame, size)
        if frames and frame.shape != frames[0].shape:
            size = f'{frame.shape[:2]} pixels: give image_size'
            raise ValueError(f'{file}: frame {number} has {size}')
        frames.append(frame)
    found.close()
    return np.stack(frames)


def resize_frame(frame: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """A frame in another height and width; smaller by area."""
    if frame.shape[:2] == size:
        return frame
    smaller = frame.shape[0] > size[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(frame, (size[1], size[0]), interpolation=how)


def _as_rgb(frame: np.ndarray) -> np.ndarray:
    """Between OpenCV's order of channels and RGB, both ways."""
    return np.ascontiguousarray(frame[..., ::-1])


class VideoWriter:
    """A context that writes frames through OpenCV, 10 per second.

    The file is written next to its place and moved there on leaving; an
    exception inside leaves nothing behind.

    Args:
        path (str | Path): Ends in ``.mp4`` or ``.avi``.

    Raises:
        ValueError: If the ending is another.
        OSError: If this OpenCV cannot encode it.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = check_path('path', path)
        stem, ending = os.path.splitext(self.path)
        ending = ending.lower()
        self._codec = CODECS[check_choice('ending of path', ending, CODECS)]
        # The ending tells OpenCV the container, so it stays the last part.
        self._part = f'{stem}.part{ending}'
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
        if self._writer is None:
            self._shape = frame.shape
            code = cv2.VideoWriter_fourcc(*self._codec)
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(self._part, code, FPS, size)
            if not writer.isOpened():
                raise OSError(f'OpenCV cannot write {size} to {self.path}')
            self._writer = writer
        if frame.shape != self._shape:
            shapes = f'{self._shape}, got {frame.shape}'
            raise ValueError(f'frames must all be {shapes}')
        self._writer.write(_as_rgb(frame))

    def __exit__(self, kind, value, traceback) -> None:
        if self._writer is not None:
            self._writer.release()
        if kind is None and self._writer is not None:
            os.replace(self._part, self.path)
        elif os.path.exists(self._part):
            os.remove(self._part)
