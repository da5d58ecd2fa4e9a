# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Where an image search gets its images and their pictures."""

import os
from typing import Any, List, Mapping, Optional, Sequence

import numpy as np
from mmengine.config import Config
from torch import nn

from mask_plugins.apis.data import (
    build_test_loader,
    build_test_set,
    reads_files,
)
from mask_plugins.apis.features import extract_features

from .image_search import ImageIndex, class_of, embed_images

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
        self._dataset: Any = None

    def of_files(
        self, files: Sequence[str], folder: str, what: str = 'images'
    ) -> ImageIndex:
        """Embed files; their classes are the sub-folders of ``folder``."""
        embeddings = embed_images(
            self.model,
            self.cfg,
            files,
            self._side(),
            self.batch_size or 32,
            what,
        )
        files = [os.path.abspath(file) for file in files]
        folder = os.path.abspath(folder)
        alone = files == [folder]
        # The class of a single image is the folder that it lies in.
        above = os.path.dirname(os.path.dirname(folder))
        names = [class_of(f, above if alone else folder) for f in files]
        return ImageIndex(embeddings, files, names)

    def of_test_set(self) -> ImageIndex:
        """Embed the test set of the config."""
        dataset = self._dataset = build_test_set(self.cfg)
        loader = build_test_loader(
            self.cfg, dataset, self.batch_size, self.limit
        )
        found = extract_features(self.model, loader, what='test images')
        names = getattr(dataset, 'metainfo', {}).get('classes')
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
            if self._dataset is None:
                self._dataset = build_test_set(self.cfg)
            index = int(file[len(TEST_IMAGE) :])
            image = self._dataset[index]['inputs'].numpy().transpose(1, 2, 0)
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

    def _side(self) -> int:
        """Pixels for pipelines that read no files: those of a test image."""
        if reads_files(self.cfg):
            return 1  # not used
        if self._dataset is None:
            self._dataset = build_test_set(self.cfg)
        return int(self._dataset[0]['inputs'].shape[-1])


def places_of(files: Sequence[str], indexed: Sequence[str]) -> List[int]:
    """Where files are in an index; -1 for those that are not."""
    places = {file: place for place, file in enumerate(indexed)}
    return [places.get(file, -1) for file in files]


def some_of_each_class(index: ImageIndex, most: int) -> List[int]:
    """Places of images of different classes, taking turns, at most so many."""
    members: dict = {}
    for place, name in enumerate(index.classes):
        members.setdefault(name, []).append(place)
    turns = max(len(places) for places in members.values())
    chosen = [
        places[turn]
        for turn in range(min(turns, most))
        for places in members.values()
        if turn < len(places)
    ]
    return chosen[:most]


def take(index: ImageIndex, places: Sequence[int]) -> ImageIndex:
    """Some images of an index."""
    return ImageIndex(
        index.embeddings[list(places)],
        [index.files[place] for place in places],
        [index.classes[place] for place in places],
    )
