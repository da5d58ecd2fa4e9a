# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""CIFAR-10.1: a new test set for CIFAR-10."""

from pathlib import Path
from typing import Callable, List, Sequence, Union

import numpy as np

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import PathLike, check_choice, check_path

from .labeled_dataset import LabeledDataset

SOURCE = 'https://github.com/modestyachts/CIFAR-10.1/tree/master/datasets'
# Images in each version, as its authors give them.
SIZES = dict(v4=2021, v6=2000)


@DATASETS.register_module()
class CIFAR10_1(LabeledDataset):
    """The test set of "Do CIFAR-10 Classifiers Generalize to CIFAR-10?".

    Recht et al., 2018, https://arxiv.org/abs/1806.00451. It was collected as
    CIFAR-10 was, and all of it is for testing. ``data_root`` holds the files
    as the authors publish them, ``cifar10.1_v6_data.npy`` (uint8,
    :math:`(N, 32, 32, 3)`, RGB) and ``cifar10.1_v6_labels.npy``; there is no
    download.

    A sample holds ``img``, a uint8 array of shape ``(32, 32, 3)``, and
    ``gt_label``, an int, as those of mmpretrain's ``CIFAR10`` do, whose
    pipelines and data preprocessors fit.

    Args:
        data_root (str | PathLike): The folder of the files.
        version (str): ``'v6'``, 2,000 images, 200 of each class, which the
            authors recommend, or ``'v4'``, 2,021 images, the version of their
            first paper. Defaults to ``'v6'``.
        pipeline (Sequence[dict | Callable]): Transforms. Defaults to ().
        **kwargs: Other arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        ValueError: If ``version`` is another, or the files do not hold the
            images and labels of that version.
        FileNotFoundError: If a file is missing; the message says where to
            get it.

    Examples:
        >>> CIFAR10_1('data/cifar10.1', version='v5')
        Traceback (most recent call last):
        ...
        ValueError: version must be one of ['v4', 'v6'], got 'v5'
    """

    METAINFO = dict(
        classes=(
            'airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog',
            'horse', 'ship', 'truck',
        )
    )  # fmt: skip

    def __init__(
        self,
        data_root: PathLike,
        version: str = 'v6',
        pipeline: Sequence[Union[dict, Callable]] = (),
        **kwargs,
    ) -> None:
        self.version = check_choice('version', version, SIZES)
        data_root = check_path('data_root', data_root)
        kwargs.setdefault('test_mode', True)
        super().__init__(data_root=data_root, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read both files and check that they are what they should be."""
        images, labels = self._read('data'), self._read('labels')
        size = SIZES[self.version]
        found = images.dtype, images.shape, labels.shape, labels.dtype.kind
        wanted = np.uint8, (size, 32, 32, 3), (size,)
        if (
            found[:3] != wanted
            or found[3] not in 'iu'
            or not (set(labels.tolist()) <= set(range(10)))
        ):
            raise ValueError(
                f'the files of {self.data_root} must hold uint8 images of '
                f'shape {wanted[1]} and {size} integers in [0, 9], got '
                f'{images.dtype} of shape {images.shape} and {labels.dtype} '
                f'of shape {labels.shape}, the highest {labels.max()}'
            )
        return [
            dict(img=image, gt_label=int(label))
            for image, label in zip(images, labels)
        ]

    def _read(self, kind: str) -> np.ndarray:
        path = Path(self.data_root) / f'cifar10.1_{self.version}_{kind}.npy'
        if not path.is_file():
            raise FileNotFoundError(
                f'file not found: {path}: download {path.name} from '
                f'{SOURCE} into data_root={str(self.data_root)!r}'
            )
        try:
            return np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f'{path} is not an array: {error}') from error
