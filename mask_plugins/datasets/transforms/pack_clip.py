# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Pack a clip as one input of mmpretrain's models."""

import numpy as np
import torch

from mask_plugins.registry import TRANSFORMS
from mask_plugins.utils.openmmlab import imports_for

META = ('sample_idx', 'stream', 'frame', 'next_frame')


@TRANSFORMS.register_module()
class PackClip:
    """Last transform of a clip pipeline.

    ``inputs`` is a tensor :math:`(T, C, H, W)` of the dtype of the frames.
    mmengine's ``pseudo_collate`` (the default) lists them, ``default_collate``
    and mmpretrain's ``ClsDataPreprocessor`` stack them to
    :math:`(B, T, C, H, W)`. Frames are RGB already: leave ``to_rgb=False``,
    which would flip the order of three *frames*.

    The data sample has ``gt_label`` and, as a tensor, ``gt_change``; in its
    meta information ``sample_idx``, ``stream``, ``frame`` and ``next_frame``:
    each where the dataset gives it.

    Raises:
        ImportError: If mmpretrain is not installed.

    Examples:
        >>> clip = np.zeros((2, 8, 8, 3), np.uint8)
        >>> packed = PackClip()(dict(img=clip, gt_label=1, frame=7))
        >>> tuple(packed['inputs'].shape), packed['data_samples'].frame
        ((2, 3, 8, 8), 7)
    """

    def __init__(self) -> None:
        with imports_for('mask_plugins.PackClip'):
            from mmpretrain.structures import DataSample
        self._data_sample = DataSample

    def __call__(self, results: dict) -> dict:
        """Pack a sample.

        Args:
            results (dict): ``img``: :math:`(T, H, W, C)`.

        Returns:
            dict: ``inputs`` and ``data_samples``.

        Raises:
            ValueError: If ``img`` is no clip.
        """
        clip = np.asarray(results['img'])
        if clip.ndim != 4:
            raise ValueError(
                f'img must be a clip of shape (T, H, W, C), got {clip.shape}'
            )
        clip = np.ascontiguousarray(clip.transpose(0, 3, 1, 2))
        sample = self._data_sample()
        if 'gt_label' in results:
            sample.set_gt_label(results['gt_label'])
        if 'gt_change' in results:
            change = np.ascontiguousarray(results['gt_change'])
            sample.set_field(torch.from_numpy(change), 'gt_change')
        sample.set_metainfo({k: results[k] for k in META if k in results})
        return dict(inputs=torch.from_numpy(clip), data_samples=sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
