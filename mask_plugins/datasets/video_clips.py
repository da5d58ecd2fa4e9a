# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Clips of consecutive frames of videos."""

import logging
import os
from typing import List, Optional, Sequence, Tuple, Union

from mmengine.logging import print_log

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import (
    PathLike,
    check_bool,
    check_choice,
    check_int,
    check_pair,
    check_path,
)

from .labeled_dataset import LabeledDataset
from .video import count_frames, find_videos, read_clip


@DATASETS.register_module()
class VideoClips(LabeledDataset):
    """Clips of video files or of folders of frames, through OpenCV.

    ``data_root`` is one video file, one folder of frames, or a folder with
    any number of both, at any depth. Clips are consecutive frames in their
    order; shuffling a sampler shuffles clips, never frames. Videos and
    frames are in natural order (``frame_2`` before ``frame_10``).

    A sample holds ``img`` (uint8 RGB :math:`(T, H, W, 3)`), ``stream`` (the
    path of its video, relative to ``data_root``), ``frame`` (the number of
    its first frame) and, with ``label_from_folder``, ``gt_label``. Pack it
    with :class:`mask_plugins.PackClip`.

    What goes wrong with videos, and what happens then:

    - a video that ends before its header says is used as far as it can be
      read, with a warning;
    - a file that cannot be opened, or a video shorter than a clip, is an
      error, or with ``on_bad='skip'`` a warning and left out;
    - frames whose size changes are resized to ``image_size``; without it,
      the clip in which it changes is an error;
    - a frame that cannot be decoded is an error that names it.

    Args:
        data_root (str | Path): See above.
        clip_len (int): T, frames per clip. Defaults to 8.
        clip_step (int, optional): Frames from the beginning of a clip to that
            of the next; None is their length, so that they do not overlap
            and a stream can be continued from clip to clip. Defaults to None.
        frame_step (int): 2 takes every other frame. Defaults to 1.
        image_size (int | tuple[int], optional): Side, or (height, width), to
            resize to. Defaults to None.
        label_from_folder (bool): The folder below ``data_root`` that a video
            lies in is its class. Defaults to False.
        class_root (str | Path, optional): Whose folders are numbered as
            classes, in sorted order: that of the training videos, also for
            validation, so that a class without validation videos does not
            move the labels of others. Defaults to None, ``data_root``.
        on_bad (str): 'raise' or 'skip', see above. Defaults to 'raise'.
        **kwargs: Other arguments of :class:`mmengine.dataset.BaseDataset`,
            such as ``pipeline``.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        OSError: If a video cannot be read.
        TypeError: If an argument is of another type.
        ValueError: If a number is below 1, there is no clip, or a folder is
            not a class of ``class_root``.

    Examples:
        >>> import numpy as np, tempfile
        >>> from mask_plugins.datasets.video import VideoWriter
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f'{folder}/video.avi'
        ...     with VideoWriter(path) as video:
        ...         for _ in range(8):
        ...             video.write(np.zeros((32, 48, 3), np.uint8))
        ...     clips = VideoClips(path, clip_len=4)
        ...     len(clips), clips[1]['img'].shape, clips[1]['frame']
        (2, (4, 32, 48, 3), 4)
    """

    def __init__(
        self,
        data_root: PathLike,
        clip_len: int = 8,
        clip_step: Optional[int] = None,
        frame_step: int = 1,
        image_size: Optional[Union[int, Tuple[int, int]]] = None,
        label_from_folder: bool = False,
        class_root: Optional[PathLike] = None,
        on_bad: str = 'raise',
        **kwargs,
    ) -> None:
        self.clip_len = check_int('clip_len', clip_len, 1)
        self.frame_step = check_int('frame_step', frame_step, 1)
        if clip_step is None:
            clip_step = clip_len * frame_step
        self.clip_step = check_int('clip_step', clip_step, 1)
        self.image_size = image_size
        if image_size is not None:
            size = check_pair('image_size', image_size, low=1, single=True)
            self.image_size = size
        self.on_bad = check_choice('on_bad', on_bad, ('raise', 'skip'))
        check_bool('label_from_folder', label_from_folder)
        self.label_from_folder = label_from_folder
        data_root = check_path('data_root', data_root)
        class_root = data_root if class_root is None else class_root
        self.class_root = check_path('class_root', class_root)
        roots = dict(data_root=data_root, class_root=self.class_root)
        for name, path in roots.items():
            if not os.path.exists(path):
                path = os.path.abspath(path)
                raise FileNotFoundError(f'{name} not found: {path}')
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Find the videos, count their frames, cut them into clips."""
        videos = find_videos(self.data_root, self._warn)
        if not videos:
            where = os.path.abspath(self.data_root)
            raise ValueError(f'data_root: no video or frames in {where}')
        labels = self._labels(videos)
        span = (self.clip_len - 1) * self.frame_step + 1
        clips = []
        for path in videos:
            count = self._count(path, span)
            name = os.path.relpath(path, self.data_root)
            same = dict(video=path, stream=name)
            if labels:
                same['gt_label'] = labels[path]
            for start in range(0, count - span + 1, self.clip_step):
                end = start + self.clip_len * self.frame_step
                clips.append(dict(same, frame=start, next_frame=end))
        if not clips:
            where = os.path.abspath(self.data_root)
            raise ValueError(f'no video in {where} has {span} frames')
        return clips

    def _count(self, path: str, span: int) -> int:
        """Frames that can be read; 0 if the video is left out."""
        try:
            count, promised = count_frames(path)
            if count < span:
                raise ValueError(
                    f'{path}: {count} frames are fewer than the {span} needed'
                )
        except (OSError, ValueError) as error:
            if self.on_bad == 'raise':
                raise type(error)(
                    f"{error}. on_bad='skip' leaves such videos out"
                ) from error
            self._warn(f'{error}; left out')
            return 0
        if count < promised:
            self._warn(
                f'{path}: {count} of {promised} frames; used as far as it '
                'can be read'
            )
        return count

    def _labels(self, videos: Sequence[str]) -> dict:
        if not self.label_from_folder:
            return {}
        classes = {}
        for path in videos:
            parts = os.path.relpath(path, self.data_root).split(os.sep)
            if len(parts) < 2:
                raise ValueError(
                    f'label_from_folder: {path} is not in a folder of a class'
                )
            classes[path] = parts[0]
        folders = [e.name for e in os.scandir(self.class_root) if e.is_dir()]
        names = sorted(name for name in folders if name[0] != '.')
        unknown = sorted(set(classes.values()) - set(names))
        if unknown:
            raise ValueError(
                f'class_root {self.class_root} has no folders for {unknown}'
            )
        self._metainfo['classes'] = tuple(names)
        return {path: names.index(name) for path, name in classes.items()}

    @staticmethod
    def _warn(message: str) -> None:
        print_log(f'VideoClips: {message}', 'current', logging.WARNING)

    def get_data_info(self, idx: int) -> dict:
        """Read the clip."""
        info = super().get_data_info(idx)
        start, step = info['frame'], self.frame_step
        info['img'] = read_clip(
            info['video'], start, self.clip_len, step, self.image_size
        )
        return info
