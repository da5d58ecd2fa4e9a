# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The test images of a config, each exactly once."""

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.dist import get_dist_info
from mmengine.registry import FUNCTIONS
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from mask_plugins.datasets.class_numbers import check_same_numbers
from mask_plugins.datasets.traverse import configured_pipeline
from mask_plugins.evaluation.metrics.feature_metric import labels_of_samples
from mask_plugins.registry import DATASETS, TRANSFORMS
from mask_plugins.utils.checks import check_int

from .model import config_scope, type_name

LOADER = 'LoadImageFromFile'


def test_settings(cfg: Config) -> dict:
    """The test dataloader of a config, or the one for validation.

    Raises:
        ValueError: If it has neither.
    """
    for key in ('test_dataloader', 'val_dataloader'):
        if cfg.get(key) is not None:
            return cfg[key]
    raise ValueError('the config has no test_dataloader or val_dataloader')


def test_pipeline(cfg: Config) -> List[Any]:
    """The transforms of the test images, also of a wrapped dataset's.

    Raises:
        ValueError: If there are none.
    """
    dataset = test_settings(cfg)['dataset']
    pipeline = configured_pipeline(dataset)
    if pipeline is None:
        raise ValueError(f'the test {dataset["type"]} has no pipeline')
    return pipeline


def build_test_set(cfg: Config, model: Optional[nn.Module] = None) -> Dataset:
    """Build the test set of a config.

    Args:
        cfg (Config): The config.
        model (nn.Module, optional): A trained model whose predictions will be
            compared with the labels. Defaults to None.

    Raises:
        ValueError: If the set is empty, or a class has another number in the
            model's checkpoint.
    """
    dataset = build_set(cfg, test_settings(cfg)['dataset'], 'test')
    if model is not None:
        known = model._dataset_meta.get('classes', ())
        names = getattr(dataset, 'metainfo', {}).get('classes') or ()
        check_same_numbers(known, names, 'the checkpoint', 'the test set')
    return dataset


def build_set(cfg: Config, settings: dict, name: str) -> Dataset:
    """Build a dataset in the scope of a config.

    Raises:
        ValueError: If it is empty; ``name`` says which it is.
    """
    with config_scope(cfg):
        dataset = DATASETS.build(settings)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
    if len(dataset) == 0:
        raise ValueError(f'the {name} set of the config has no images')
    return dataset


def build_test_loader(
    cfg: Config,
    dataset: Dataset,
    batch_size: Optional[int] = None,
    limit: Optional[int] = None,
) -> DataLoader:
    """Load images in order, none twice, on this rank its share.

    The sampler of the config is not used: those for distributed runs pad the
    last batches with images that were there before. A generator of its own
    leaves the random state of a training around it alone.

    Args:
        cfg (Config): Says the batch size, the workers and how to collate.
        dataset (Dataset): The whole dataset.
        batch_size (int, optional): Replaces the one of the config.
        limit (int, optional): Take so many images, spread evenly, since
            images are often sorted by class. Defaults to None, all.
    """
    settings = test_settings(cfg)
    collate = (settings.get('collate_fn') or {}).get('type', default_collate)
    if isinstance(collate, str):
        with config_scope(cfg):
            collate = FUNCTIONS.get(collate)
    if limit is not None and limit < len(dataset):
        index = np.linspace(0, len(dataset) - 1, limit).round().astype(int)
        dataset = Subset(dataset, index.tolist())
    rank, world_size = get_dist_info()
    if world_size > 1:
        dataset = Subset(dataset, range(rank, len(dataset), world_size))
    return DataLoader(
        dataset,
        batch_size=batch_size or settings.get('batch_size', 1),
        num_workers=settings.get('num_workers', 0),
        collate_fn=collate,
        shuffle=False,
        generator=torch.Generator(),
    )


def labels_of(batch: dict) -> List[int]:
    """The true class of each sample of a batch.

    Raises:
        ValueError: If a sample has none, or several.
    """
    return labels_of_samples(batch['data_samples']).tolist()


def first_of_each_class(dataset: Dataset, most: int = 8) -> List[int]:
    """Indices of the first image of each class, at most ``most`` of them."""
    seen: Dict[int, int] = {}
    for index in range(len(dataset)):
        label = int(np.ravel(dataset.get_data_info(index)['gt_label'])[0])
        seen.setdefault(label, index)
        if len(seen) == most:
            break
    return [seen[label] for label in sorted(seen)]


def load_samples(dataset: Dataset, indices: Sequence[int]) -> dict:
    """Collate the samples at ``indices``.

    Raises:
        ValueError: If an index is not in the dataset.
    """
    for index in indices:
        check_int('index of a test image', index, 0, len(dataset) - 1)
    return default_collate([dataset[index] for index in indices])


def load_files(
    cfg: Config, paths: Sequence[str], size: Tuple[int, int]
) -> dict:
    """Collate image files, run through the test pipeline of the config.

    Args:
        cfg (Config): Where the pipeline reads no files (an embedded dataset),
            they are read and resized before it.
        paths (Sequence[str]): The files.
        size (tuple[int, int]): Height and width to resize to in that case.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is not an image.
    """
    for path in paths:
        if not os.path.isfile(path):
            raise FileNotFoundError(f'there is no image {path}')
    steps: List[Any] = test_pipeline(cfg)
    if not reads_files(cfg):
        resize = dict(type='Resize', scale=(size[1], size[0]))
        steps = [dict(type=LOADER), resize, *steps]
    with config_scope(cfg):
        pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    samples = []
    for path in paths:
        try:
            samples.append(pipeline(dict(img_path=path)))
        except (AssertionError, AttributeError, TypeError) as error:
            # What the loader of mmcv does with bytes that are no image.
            raise ValueError(f'{path} is not an image: {error}') from error
    return default_collate(samples)


def channel_order(cfg: Config, from_files: bool) -> str:
    """Order of the channels of preprocessed images: 'rgb' or 'bgr'.

    Args:
        cfg (Config): Says whether the preprocessor flips the channels, and
            whether images are read from files, which is done as BGR.
            Datasets that hold arrays hold RGB.
        from_files (bool): The images are the user's files.
    """
    settings = dict(cfg.get('data_preprocessor') or {})
    settings.update(cfg.model.get('data_preprocessor') or {})
    read = from_files or reads_files(cfg)
    return 'bgr' if read and not settings.get('to_rgb', False) else 'rgb'


def reads_files(cfg: Config) -> bool:
    """Whether the test pipeline of a config reads image files."""
    steps = test_pipeline(cfg)
    return any(type_name(step).endswith(LOADER) for step in steps)
