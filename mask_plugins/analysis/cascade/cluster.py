# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Cluster a training set by the features of the dispatcher."""

from typing import Dict, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mask_plugins.datasets.cluster_subset import CLUSTERS
from mask_plugins.functional.router import Router
from mask_plugins.utils.checks import PathLike, check_int, check_number
from mask_plugins.utils.tensor_files import read_tensors, write_tensors

from .feature_files import FeatureFile


class Clusters(NamedTuple):
    """A clustered training set.

    Args:
        router (Router): Assigns any image.
        train (Tensor): Cluster of each training image, int64 :math:`(N,)`.
        test (Tensor): Of each test image.
        images (str): Fingerprint of the training set.

    Examples:
        >>> eye = torch.eye(2)
        >>> router = Router(torch.zeros(2), eye, torch.ones(1), eye[:1],
        ...                 eye[None])
        >>> zeros = torch.zeros(4, dtype=torch.int64)
        >>> Clusters(router, zeros, zeros, '').sizes
        [4]
    """

    router: Router
    train: Tensor
    test: Tensor
    images: str

    @property
    def sizes(self) -> list:
        """Training images of each cluster."""
        count = len(self.router.weights)
        return torch.bincount(self.train, minlength=count).tolist()


def fit_clusters(
    features: FeatureFile,
    clusters: int = 5,
    components: int = 20,
    seed: int = 0,
    reg_covar: Optional[float] = None,
) -> Clusters:
    """Fit PCA and a Gaussian mixture with scikit-learn.

    "Self-Masking Networks for Unsupervised Adaptation" (Warmerdam et al.,
    GCPR 2024): principal components of the normalized features of the
    training set, each scaled to variance 1, and a mixture with full
    covariances. The original scales them to 1 / N instead, where its
    ``reg_covar`` of 1e-6 is N times as large as it seems; the default here
    stands for the same mixture.

    Args:
        features (FeatureFile): Of the dispatcher.
        clusters (int): How many. Defaults to 5.
        components (int): Of the PCA; as many as there are of fewer. Defaults
            to 20.
        seed (int): Of PCA and mixture. Defaults to 0.
        reg_covar (float, optional): Added to the variances. Defaults to None,
            N * 1e-6.

    Raises:
        TypeError, ValueError: If an argument is out of range, features are
            not finite, or there are more clusters than images.

    Examples:
        >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
        <torch...>
        >>> rows = torch.eye(3).repeat(20, 1) + 0.1 * torch.randn(60, 3)
        >>> zeros = torch.zeros(60, dtype=torch.int64)
        >>> made = fit_clusters(FeatureFile(rows, zeros, rows, zeros, ''), 3)
        >>> made.sizes
        [20, 20, 20]
    """
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    rows = F.normalize(features.train.double())
    count = len(rows)
    check_int('clusters', clusters, 1, count)
    check_int('components', components, 1)
    check_number('reg_covar', reg_covar, 0, ends='()', optional=True)
    if not rows.isfinite().all():
        raise ValueError('features must be finite: has the training diverged?')
    size = min(components, count - 1, rows.shape[1])
    pca = PCA(size, svd_solver='full', random_state=seed).fit(rows.numpy())
    directions = torch.from_numpy(pca.components_).T  # DxQ
    spread = torch.from_numpy(pca.singular_values_)
    directions = directions[:, spread > 1e-7 * spread[0]]
    spread = spread[: directions.shape[1]]
    mean = torch.from_numpy(pca.mean_)
    projection = directions * (count**0.5 / spread)
    mixture = GaussianMixture(
        clusters,
        reg_covar=count * 1e-6 if reg_covar is None else reg_covar,
        random_state=seed,
    ).fit(((rows - mean) @ projection).numpy())
    router = Router(
        mean,
        projection,
        *(
            torch.from_numpy(value).double()
            for value in (
                mixture.weights_,
                mixture.means_,
                mixture.precisions_cholesky_,
            )
        ),
    ).check()
    return Clusters(
        router,
        router.assign(features.train),
        router.assign(features.test),
        features.images,
    )


def cluster_measures(clusters: Clusters, labels: Tensor) -> Dict[str, float]:
    """How the clusters of the training set go with its classes.

    Args:
        clusters (Clusters): The clusters.
        labels (Tensor): Classes of the training images, int64 :math:`(N,)`.

    Returns:
        dict[str, float]: ``purity`` (share of images of the commonest class
        of their cluster) and ``ami`` (adjusted mutual information), in %.

    Examples:
        >>> eye, labels = torch.eye(2), torch.tensor([0, 0, 1, 1])
        >>> router = Router(torch.zeros(2), eye, torch.ones(2) / 2, eye,
        ...                 eye.repeat(2, 1, 1))
        >>> cluster_measures(Clusters(router, labels, labels, ''), labels)
        {'purity': 100.0, 'ami': 100.0}
    """
    from sklearn.metrics import adjusted_mutual_info_score

    pairs = clusters.train * (int(labels.max()) + 1) + labels
    counts = torch.bincount(pairs)
    counts = F.pad(counts, (0, -len(counts) % (int(labels.max()) + 1)))
    table = counts.view(-1, int(labels.max()) + 1)
    ami = adjusted_mutual_info_score(labels.numpy(), clusters.train.numpy())
    purity = float(table.amax(dim=1).sum()) / len(labels)
    return dict(purity=100 * purity, ami=100 * float(ami))


def write_clusters(clusters: Clusters, path: PathLike) -> None:
    """Write a file that :class:`mask_plugins.ClusterSubset` reads."""
    tensors = {f'router.{k}': v for k, v in clusters.router._asdict().items()}
    tensors.update(train=clusters.train, test=clusters.test)
    write_tensors(path, CLUSTERS, tensors, dict(images=clusters.images))


def read_clusters(path: PathLike) -> Clusters:
    """Read what :func:`write_clusters` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or not such a file.

    Examples:
        >>> read_clusters('nowhere')
        Traceback (most recent call last):
        ...
        FileNotFoundError: no cascade clusters file: 'nowhere'
    """
    tensors, texts = read_tensors(path, CLUSTERS)
    try:
        router = Router(*(tensors[f'router.{k}'] for k in Router._fields))
        return Clusters(
            router.check(),
            tensors['train'],
            tensors['test'],
            texts.get('images', ''),
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f'{path!r} is damaged: {error}') from error
