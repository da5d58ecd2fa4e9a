# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A dataset of given labels, and folders of random images."""

import numpy as np
from PIL import Image

from mask_plugins.datasets.labeled_dataset import LabeledDataset


class Toy(LabeledDataset):
    """Labels as given; an image is its number."""

    def __init__(self, labels, start=0, classes=None, **kwargs):
        self.given, self.start = labels, start
        metainfo = dict(classes=classes) if classes else {}
        super().__init__(metainfo=metainfo, **kwargs)

    def load_data_list(self):
        return [
            dict(img=np.full((2, 2, 3), self.start + i), gt_label=label)
            for i, label in enumerate(self.given)
        ]


def write_images(root, *names, size=(40, 60)):
    """Write random images under these paths."""
    rng = np.random.default_rng(0)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
