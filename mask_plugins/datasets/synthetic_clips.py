# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Generated clips of moving objects whose changes are known exactly."""

import itertools
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import (
    check_bool,
    check_choice,
    check_int,
    check_number,
    check_pair,
)

from .labeled_dataset import LabeledDataset
from .synthetic_scene import (
    CLASSES,
    Sprite,
    compose,
    draw_background,
    draw_object,
    draw_path,
)

SPLITS = ('train', 'val', 'test')


@DATASETS.register_module()
class SyntheticClips(LabeledDataset):
    """Textured objects that move over a background, nothing to download.

    The class of a clip is that of its objects (texture and shape, see
    :data:`CLASSES`; all objects of a clip share it). Clip ``i`` is a pure
    function of the arguments, ``split`` and ``i``: the same in every epoch,
    process and resumed run, whatever the number of workers.

    A sample holds

    - ``img``: uint8 array :math:`(T, H, W, 3)`, RGB, frames in order. Pack it
      with :class:`mask_plugins.PackClip`, which makes it
      :math:`(T, 3, H, W)`;
    - ``gt_label``: int;
    - ``gt_change``: bool array :math:`(T, H, W)`, True where the picture
      *without noise* differs from the frame before; all True in frame 0;
    - ``stream``: name of the clip, and ``frame``: 0, the number of its first
      frame.

    Args:
        num_clips (int): Number of clips. Defaults to 256.
        clip_len (int): T, frames per clip. Defaults to 8.
        image_size (int | tuple[int]): Side, or (height, width), in pixels.
            Defaults to 64.
        num_classes (int): The first so many of :data:`CLASSES`, at most 10.
            Defaults to 5.
        num_objects (int): Objects per clip. Defaults to 1.
        object_size (tuple[int]): Least and greatest side of an object in
            pixels. Defaults to (16, 24).
        speed (tuple[float]): Least and greatest way per frame in pixels.
            Defaults to (1, 3).
        fixed_scene (bool): One background for all clips of all splits, as of
            a fixed camera; else one per clip. Defaults to True.
        noise (float): Standard deviation of the sensor noise, in gray values
            of 255. Defaults to 2.
        fade (float): Share by which the light of a frame is darker than that
            of the frame before (negative: brighter). Defaults to 0.
        pan (tuple[int]): Way of the camera per frame in pixels, down and
            right. Defaults to (0, 0).
        scene_cut (int, optional): First frame that shows another scene, with
            objects of the same class elsewhere. Defaults to None.
        freeze (int, optional): First of the frames that repeat the one
            before, its noise included. Defaults to None.
        split (str): 'train', 'val' or 'test': disjoint clips.
            Defaults to 'train'.
        seed (int): Of everything that is drawn. Defaults to 0.
        pipeline (Sequence[dict | Callable]): Transforms. Defaults to ().
        **kwargs: Other arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a number is out of range (the error says which), an
            object does not fit into the image, or ``fade`` ends in black.

    Examples:
        >>> clips = SyntheticClips(num_clips=2, clip_len=3, image_size=32)
        >>> clips[0]['img'].shape
        (3, 32, 32, 3)
    """

    def __init__(
        self,
        num_clips: int = 256,
        clip_len: int = 8,
        image_size: Union[int, Tuple[int, int]] = 64,
        num_classes: int = 5,
        num_objects: int = 1,
        object_size: Tuple[int, int] = (16, 24),
        speed: Tuple[float, float] = (1.0, 3.0),
        fixed_scene: bool = True,
        noise: float = 2.0,
        fade: float = 0.0,
        pan: Tuple[int, int] = (0, 0),
        scene_cut: Optional[int] = None,
        freeze: Optional[int] = None,
        split: str = 'train',
        seed: int = 0,
        pipeline: Sequence = (),
        **kwargs,
    ) -> None:
        self.split = check_choice('split', split, SPLITS)
        name = 'image_size'
        self.image_size = check_pair(name, image_size, int, 8, single=True)
        # One dict is kept for each.
        self.num_clips = check_int('num_clips', num_clips, 1, 10_000_000)
        self.clip_len = check_int('clip_len', clip_len, 1)
        most = len(CLASSES)
        self.num_classes = check_int('num_classes', num_classes, 1, most)
        self.num_objects = check_int('num_objects', num_objects, 0)
        self.object_size = check_pair('object_size', object_size, int, 4, True)
        if self.object_size[1] > min(self.image_size):
            raise ValueError(
                f'object_size {object_size} does not fit into {image_size}'
            )
        self.speed = check_pair('speed', speed, float, 0, ascending=True)
        self.noise = check_number('noise', noise, 0)
        self.fade = check_number('fade', fade, -1, 1)
        if self.fade * (self.clip_len - 1) >= 1:
            raise ValueError(f'fade must not end in black, got {fade}')
        self.pan = check_pair('pan', pan, int)
        last = self.clip_len - 1
        self.scene_cut = check_int('scene_cut', scene_cut, 1, last, True)
        self.freeze = check_int('freeze', freeze, 1, last, True)
        self.fixed_scene = check_bool('fixed_scene', fixed_scene)
        self.seed = check_int('seed', seed, 0)
        self._scene: Optional[np.ndarray] = None
        kwargs.setdefault('serialize_data', False)  # a few numbers per clip
        metainfo = dict(classes=CLASSES[: self.num_classes])
        super().__init__(metainfo=metainfo, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Labels in turn, so that every class has its share."""
        labels = itertools.cycle(range(self.num_classes))
        return [
            dict(clip=i, gt_label=label, stream=f'{self.split}/{i}', frame=0)
            for i, label in zip(range(self.num_clips), labels)
        ]

    def get_data_info(self, idx: int) -> dict:
        """Draw the clip."""
        info = super().get_data_info(idx)
        drawn = self.draw(info['clip'], info['gt_label'])
        info['img'], info['gt_change'] = drawn
        return info

    def draw(self, clip: int, label: int) -> Tuple[np.ndarray, np.ndarray]:
        """Frames and true changes of one clip.

        Args:
            clip (int): Its number in the split.
            label (int): Its class.

        Returns:
            tuple[np.ndarray]: uint8 :math:`(T, H, W, 3)` and bool
            :math:`(T, H, W)`.
        """
        split = 1 + SPLITS.index(self.split)
        rng = np.random.default_rng([self.seed, split, clip])
        height, width = self.image_size
        frames = np.empty((self.clip_len, height, width, 3), np.uint8)
        change = np.ones((self.clip_len, height, width), bool)
        before = None
        for t in range(self.clip_len):
            if t == 0 or t == self.scene_cut:
                background = self._background(rng, t > 0)
                sprites = self._sprites(rng, label)
            if self.freeze is not None and t >= self.freeze:
                frames[t], change[t] = frames[t - 1], False
                continue
            view = self._view(background, t)
            clean = compose(view, sprites, t) * (1 - self.fade * t)
            noise = rng.standard_normal(clean.shape, np.float32)
            frames[t] = np.clip(np.rint(clean + self.noise * noise), 0, 255)
            if before is not None:
                change[t] = (clean != before).any(-1)
            before = clean
        return frames, change

    def _background(self, rng: np.random.Generator, cut: bool) -> np.ndarray:
        """As large as the camera's way."""
        way = [abs(step) * (self.clip_len - 1) for step in self.pan]
        size = [a + b for a, b in zip(self.image_size, way)]
        if not self.fixed_scene or cut:
            return draw_background(rng, *size)
        if self._scene is None:
            scene = np.random.default_rng([self.seed, 0])
            self._scene = draw_background(scene, *size)
        return self._scene

    def _view(self, background: np.ndarray, t: int) -> np.ndarray:
        height, width = self.image_size
        top, left = (
            step * t if step >= 0 else -step * (self.clip_len - 1 - t)
            for step in self.pan
        )
        return background[top : top + height, left : left + width]

    def _sprites(self, rng: np.random.Generator, label: int) -> List[Sprite]:
        sprites = []
        for _ in range(self.num_objects):
            low, high = self.object_size
            size = int(rng.integers(low, high + 1))
            pixels, shape = draw_object(rng, label, size)
            room = [side - size for side in self.image_size]
            path = draw_path(rng, self.clip_len, self.speed, room)
            sprites.append(Sprite(pixels, shape, path))
        return sprites
