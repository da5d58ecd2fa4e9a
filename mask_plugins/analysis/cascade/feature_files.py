# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Features of the training and test set of a config, in a file."""

import hashlib
import os
import shutil
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process
from torch import Tensor, nn
from torch.utils.data import Subset

from mask_plugins.apis.data import build_test_loader, build_test_set
from mask_plugins.apis.features import (
    Features,
    build_train_set,
    extract_features,
)
from mask_plugins.core.weights.adapter_content import base_hash
from mask_plugins.datasets.cluster_subset import fingerprint
from mask_plugins.utils.checks import PathLike
from mask_plugins.utils.tensor_files import read_tensors, write_tensors

KIND, PART = 'features', 'part of features'
BLOCK = 20000  # images


class FeatureFile(NamedTuple):
    """Features of a training and a test set.

    Args:
        train (Tensor): fp32 :math:`(N, F)`, in the order of the data set.
        train_labels (Tensor): int64 :math:`(N,)`.
        test (Tensor): fp32 :math:`(M, F)`.
        test_labels (Tensor): int64 :math:`(M,)`.
        images (str): Fingerprint of the training set.

    Examples:
        >>> x, y = torch.ones(2, 3), torch.zeros(2, dtype=torch.int64)
        >>> FeatureFile(x, y, x, y, '').train.shape
        torch.Size([2, 3])
    """

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    images: str


def write_features(
    cfg: Config,
    model: nn.Module,
    path: PathLike,
    layer: str = 'backbone',
    normalize: bool = False,
) -> None:
    """Run a model over both sets of its config, without augmentation.

    In a distributed run the ranks share the work, and rank 0 writes. Blocks
    of images are kept in ``<path>.<key>.parts`` until the file is written,
    so that a killed command continues; the key is a hash of config, weights
    and layer.

    Args:
        cfg (Config): The config.
        model (nn.Module): Its model, with trained weights.
        path (str | os.PathLike): The file to write.
        layer (str): See :func:`mask_plugins.apis.features.extract_features`.
            Defaults to ``'backbone'``.
        normalize (bool): Scale rows to length 1. Defaults to False.
    """
    sets = dict(train=build_train_set(cfg), test=build_test_set(cfg))
    weights = base_hash(model.state_dict(), {})
    text = '\n'.join((cfg.pretty_text, weights, layer))
    key = hashlib.sha256(text.encode()).hexdigest()[:8]
    parts = f'{os.fspath(path)}.{key}.parts'
    tensors = {}
    for name, dataset in sets.items():
        found = _in_blocks(cfg, model, dataset, layer, name, parts)
        values = found.values
        if normalize:
            values = torch.nn.functional.normalize(values)
        tensors[name] = values
        tensors[f'{name}_labels'] = found.labels
        tensors[f'{name}_indices'] = found.indices
    if is_main_process():
        texts = dict(layer=layer, images=fingerprint(sets['train']))
        write_tensors(path, KIND, tensors, texts)
        shutil.rmtree(parts)


def _in_blocks(cfg, model, dataset, layer, name, parts) -> Features:
    """The features of a set, without doing again what is in ``parts``."""
    found = []
    for start in range(0, len(dataset), BLOCK):
        path = os.path.join(parts, f'{name}-{start}.safetensors')
        there = [os.path.isfile(path)]
        broadcast_object_list(there)  # of rank 0, which writes
        if there[0]:
            block = Features(**read_tensors(path, PART).tensors)
        else:
            rows = range(start, min(start + BLOCK, len(dataset)))
            loader = build_test_loader(cfg, Subset(dataset, rows))
            block = extract_features(model, loader, layer, f'{name} features')
            if is_main_process():
                os.makedirs(parts, exist_ok=True)
                write_tensors(path, PART, block._asdict())
        found.append(block)
    return Features(*map(torch.cat, zip(*found)))


def read_features(path: PathLike) -> FeatureFile:
    """Read what :func:`write_features` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or not such a file.

    Examples:
        >>> read_features('nowhere')
        Traceback (most recent call last):
        ...
        FileNotFoundError: no features file: 'nowhere'
    """
    tensors, texts = read_tensors(path, KIND)
    names = FeatureFile._fields[:-1]
    missing = [name for name in names if name not in tensors]
    if missing:
        raise ValueError(f'{path!r} has no {", ".join(missing)}')
    return FeatureFile(*(tensors[n] for n in names), texts.get('images', ''))
