# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Apply transforms of images to clips."""

import random
from typing import Callable, Sequence, Union

import numpy as np
import torch
from mmengine.dataset import Compose

from mask_plugins.functional.seeding import Seeds, seed_generators
from mask_plugins.registry import TRANSFORMS


@TRANSFORMS.register_module()
class EachFrame:
    """The same random transforms on every frame of a clip.

    The generators of :mod:`random`, numpy and torch are seeded alike before
    each frame, from one draw, so that a crop, flip or color change is one of
    the clip and leaves a static background static.

    Args:
        transforms (Sequence[dict | Callable]): Transforms of images in
            ``img``, such as ``dict(type='RandomResizedCrop', scale=224)``.
            They must keep ``img`` an array :math:`(H, W, C)`.

    Raises:
        ValueError: If frames leave them with different shapes.

    Examples:
        >>> def noise(results):
        ...     results['img'] = results['img'] + np.random.rand()
        ...     return results
        >>> clip = EachFrame([noise])(dict(img=np.zeros((2, 4, 4, 3))))
        >>> bool((clip['img'][0] == clip['img'][1]).all())
        True
    """

    def __init__(self, transforms: Sequence[Union[dict, Callable]]) -> None:
        self.transforms = Compose(transforms)

    def __call__(self, results: dict) -> dict:
        """Transform ``img`` :math:`(T, H, W, C)` frame by frame."""
        seeds = Seeds(
            random.getrandbits(32),
            int(np.random.randint(0, 1 << 31)),
            int(torch.randint(1 << 62, ())),
        )
        frames = []
        for frame in results['img']:
            seed_generators(seeds)
            size = frame.shape[:2]
            out = self.transforms(
                dict(img=frame, img_shape=size, ori_shape=size)
            )
            frames.append(np.asarray(out['img']))
        shapes = {frame.shape for frame in frames}
        if len(shapes) > 1:
            raise ValueError(
                f'EachFrame: frames of one clip got the shapes {shapes}; '
                'use transforms whose result has one size'
            )
        results['img'] = np.stack(frames)
        # It belongs to the pixels before the transforms.
        results.pop('gt_change', None)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.transforms})'
