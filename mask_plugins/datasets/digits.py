# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The embedded dataset: UCI handwritten digits out of scikit-learn."""

from typing import Callable, List, Sequence, Union

import numpy as np
import torch
import torch.nn.functional as F

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import check_choice, check_int
from mask_plugins.utils.openmmlab import imports_for

from .labeled_dataset import LabeledDataset


@DATASETS.register_module()
class Digits(LabeledDataset):
    """UCI handwritten digits: 1,797 real 8x8 images, no download.

    The images ship inside scikit-learn ("Optical Recognition of Handwritten
    Digits", test part, https://doi.org/10.24432/C50P49). The split is fixed
    and stratified: within each class, in the order of the file, every fifth
    image is held out, so that 1,433 images train and 364 test.

    A sample holds ``img``, a uint8 array of shape ``(S, S, 3)`` whose three
    channels are equal, and ``gt_label``, an int.

    Args:
        split (str): ``'train'`` or ``'test'``.
        image_size (int): Side S in pixels; other than 8, the images are
            resized bicubically once, when the dataset is built.
            Defaults to 8.
        pipeline (Sequence[dict | Callable]): Transforms. Defaults to ().
        **kwargs: Other arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        TypeError: If ``image_size`` is not an int.
        ValueError: If ``split`` is another or ``image_size`` is below 8.
        ImportError: If scikit-learn is not installed.

    Examples:
        >>> digits = Digits('test')
        >>> len(digits), digits[0]['img'].shape
        (364, (8, 8, 3))
    """

    METAINFO = dict(classes=tuple(str(digit) for digit in range(10)))
    HOLD_OUT_EVERY = 5

    def __init__(
        self,
        split: str = 'train',
        image_size: int = 8,
        pipeline: Sequence[Union[dict, Callable]] = (),
        **kwargs,
    ) -> None:
        self.split = check_choice('split', split, ('train', 'test'))
        self.image_size = check_int('image_size', image_size, 8)
        super().__init__(pipeline=pipeline, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read scikit-learn's copy and keep this split's part of it."""
        with imports_for('mask_plugins.Digits'):
            from sklearn.datasets import load_digits
        digits = load_digits()
        held_out = np.zeros(len(digits.target), dtype=bool)
        for label in range(10):
            places = np.flatnonzero(digits.target == label)
            held_out[places[:: self.HOLD_OUT_EVERY]] = True
        keep = held_out if self.split == 'test' else ~held_out
        images = self._resize(digits.images[keep])
        return [
            dict(img=image, gt_label=int(label))
            for image, label in zip(images, digits.target[keep])
        ]

    def _resize(self, images: np.ndarray) -> np.ndarray:
        """``(N, 8, 8)`` in 0..16 to uint8 ``(N, S, S, 3)``."""
        x = torch.from_numpy(images / 16 * 255).float()[:, None]
        if self.image_size != 8:
            size = (self.image_size, self.image_size)
            x = F.interpolate(x, size, mode='bicubic', align_corners=False)
        x = x.round().clamp(0, 255).byte()[:, 0, :, :, None]
        return x.expand(-1, -1, -1, 3).numpy().copy()
