# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A picture of clusters, with images of each."""

from typing import List

import numpy as np
from mmengine.config import Config
from torch import Tensor

from mask_plugins.apis.features import build_train_set
from mask_plugins.utils.checks import PathLike
from mask_plugins.visualization.cascade import draw_clusters
from mask_plugins.visualization.figure import save_figure

from .cluster import Clusters
from .feature_files import FeatureFile

IMAGES = 10  # of each cluster


def save_cluster_picture(
    cfg: Config, clusters: Clusters, features: FeatureFile, path: PathLike
) -> None:
    """Draw the first two components, and images spread over each cluster.

    Args:
        cfg (Config): The config whose training set was clustered.
        clusters (Clusters): The clusters.
        features (FeatureFile): Of the dispatcher.
        path (str | os.PathLike): The picture.
    """
    dataset = build_train_set(cfg)
    flip = bool((cfg.get('data_preprocessor') or {}).get('to_rgb', False))
    samples: List[List[np.ndarray]] = []
    for cluster, size in enumerate(clusters.sizes):
        rows = (clusters.train == cluster).nonzero()[:, 0]
        chosen = np.linspace(0, size - 1, min(IMAGES, size)).astype(int)
        samples.append(
            [_pixels(dataset[int(rows[i])]['inputs'], flip) for i in chosen]
        )
    points = clusters.router.project(features.train)[:, :2]
    figure = draw_clusters(points.numpy(), clusters.train.numpy(), samples)
    save_figure(figure, path)


def _pixels(image: Tensor, flip: bool) -> np.ndarray:
    """(C, H, W) -> (H, W, 3), RGB."""
    if flip:
        image = image.flip(0)
    return image.expand(3, -1, -1).permute(1, 2, 0).numpy()
