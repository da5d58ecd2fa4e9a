# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Where an image search gets its images and their pictures."""

import os
from functools import cached_property
from itertools import chain, zip_longest
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import torch
from mmengine.config import Config
from torch import nn
from torch.utils.data import Dataset

from mask_plugins.apis.data import (
    build_test_loader,
    build_test_set,
    load_files,
    reads_files,
)
from mask_plugins.apis.features import extract_features, features_of
from mask_plugins.apis.preprocess import preprocess
from mask_plugins.utils.progress import track

from .image_search import ImageIndex, class_of

TEST_IMAGE = 'test image '


class Source:
    """The images of folders, or the test set of a config.

    Args:
        model (nn.Module): Of ``load_feature_model``.
        cfg (Config): Its config.
        batch_size (int, optional): Defaults to None, 32 for files and that of
            the config for the test set.
        limit (int, optional): Images of the test set, spread evenly. Defaults
            to None, all.
    """

    def __init__(
        self,
        model: nn.Module,
        cfg: Config,
        batch_size: Optional[int] = None,
        limit: Optional[int] = None,
    ) -> None:
        self.model = model
        self.cfg = cfg
        self.batch_size = batch_size
        self.limit = limit

    @cached_property
    def dataset(self) -> Dataset:
        """The test set of the config."""
        return build_test_set(self.cfg)

    @torch.no_grad()
    def of_files(
        self, files: Sequence[str], folder: str, what: str = 'images'
    ) -> ImageIndex:
        """Embed files; their classes are the sub-folders of ``folder``."""
        size = (1, 1)  # not used where the pipeline reads files
        if not reads_files(self.cfg):
            size = self.dataset[0]['inputs'].shape[-2:]
        rows, count = [], self.batch_size or 32
        for start in track(range(0, len(files), count), f'{what}, batches'):
            batch = load_files(self.cfg, files[start : start + count], size)
            feats = self.model.extract_feat(preprocess(self.model, batch))
            rows.append(features_of(feats).float().cpu())
        files = [os.path.abspath(file) for file in files]
        folder = os.path.abspath(folder)
        if files == [folder]:
            # The class of a single image is the folder that it lies in.
            folder = os.path.dirname(os.path.dirname(folder))
        names = [class_of(file, folder) for file in files]
        return ImageIndex(torch.cat(rows), files, names)

    def of_test_set(self) -> ImageIndex:
        """Embed the test set of the config."""
        loader = build_test_loader(
            self.cfg, self.dataset, self.batch_size, self.limit
        )
        found = extract_features(self.model, loader, what='test images')
        names = getattr(self.dataset, 'metainfo', {}).get('classes')
        return ImageIndex(
            found.values,
            [f'{TEST_IMAGE}{index}' for index in found.indices.tolist()],
            [
                str(names[label] if names else label)
                for label in found.labels.tolist()
            ],
        )

    def picture(self, record: Mapping[str, Any]) -> np.ndarray:
        """The picture of a query or a result, uint8 (h, w, 3), RGB.

        Raises:
            FileNotFoundError: If an indexed file no longer exists.
        """
        file = record['file']
        if file.startswith(TEST_IMAGE):
            index = int(file[len(TEST_IMAGE) :])
            image = self.dataset[index]['inputs'].numpy().transpose(1, 2, 0)
            if reads_files(self.cfg):
                image = image[..., ::-1]  # mmcv reads BGR
            image = image[..., :3]
            return np.repeat(image, 3, 2) if image.shape[2] == 1 else image
        from PIL import Image

        if not os.path.isfile(file):
            raise FileNotFoundError(f'indexed image not found: {file}')
        with Image.open(file) as opened:
            opened.thumbnail((256, 256))
            return np.asarray(opened.convert('RGB'))


def places_of(files: Sequence[str], indexed: Sequence[str]) -> List[int]:
    """Where files are in an index; -1 for those that are not."""
    places = {file: place for place, file in enumerate(indexed)}
    return [places.get(file, -1) for file in files]


def some_of_each_class(index: ImageIndex, most: int) -> List[int]:
    """Places of images of different classes, taking turns, at most so many."""
    members: Dict[str, List[int]] = {}
    for place, name in enumerate(index.classes):
        members.setdefault(name, []).append(place)
    turns = chain.from_iterable(zip_longest(*members.values()))
    return [place for place in turns if place is not None][:most]


def take(index: ImageIndex, places: Sequence[int]) -> ImageIndex:
    """Some images of an index."""
    return ImageIndex(
        index.embeddings[list(places)],
        [index.files[place] for place in places],
        [index.classes[place] for place in places],
    )
