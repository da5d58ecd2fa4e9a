# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The images of one cluster."""

import hashlib
from typing import Any

import numpy as np

from mask_plugins.registry import DATASETS
from mask_plugins.utils.checks import PathLike, check_int, check_path
from mask_plugins.utils.tensor_files import read_tensors

from .subset import Subset, labels_of

#: Kind of the file with the clusters of a training set.
CLUSTERS = 'cascade clusters'


@DATASETS.register_module()
class ClusterSubset(Subset):
    """The training images that were assigned to one cluster.

    Args:
        dataset (dict | BaseDataset): The data set that was clustered, whole
            and in the same order.
        clusters (str | os.PathLike): ``clusters.safetensors`` of
            ``tools/cascade.py cluster``.
        cluster (int): Number of the cluster.
        lazy_init (bool): Whether to read annotations later. Defaults to
            False.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another data set, or the cluster is
            empty or not in it.

    Examples:
        >>> import tempfile, torch
        >>> from mask_plugins.utils.tensor_files import write_tensors
        >>> digits = dict(type='mask_plugins.Digits', split='test')
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f'{folder}/clusters.safetensors'
        ...     halves = torch.arange(364) // 182
        ...     write_tensors(path, CLUSTERS, dict(train=halves))
        ...     len(ClusterSubset(digits, path, 1))
        182
    """

    def __init__(
        self,
        dataset: Any,
        clusters: PathLike,
        cluster: int,
        lazy_init: bool = False,
    ) -> None:
        self.clusters = check_path('clusters', clusters)
        self.cluster = check_int('cluster', cluster, 0)
        super().__init__(dataset, lazy_init)

    def choose(self) -> np.ndarray:
        """See :class:`Subset`."""
        tensors, texts = read_tensors(self.clusters, CLUSTERS)
        assigned = tensors['train'].numpy()
        known = texts.get('images')
        if len(assigned) != len(self.dataset) or (
            known is not None and known != fingerprint(self.dataset)
        ):
            raise ValueError(
                f'clusters: {self.clusters} is of another data set: it has '
                f'{len(assigned)} images, and this one {len(self.dataset)}'
                + (', in another order' * (len(assigned) == len(self.dataset)))
            )
        found = np.flatnonzero(assigned == self.cluster)
        if not len(found):
            raise ValueError(
                f'cluster: there are no images in {self.cluster}; the sizes '
                f'are {np.bincount(assigned).tolist()}'
            )
        return found


def fingerprint(dataset: Any) -> str:
    """What tells data sets and orders of their images apart.

    Args:
        dataset (BaseDataset): With one class per image.

    Returns:
        str: A hash of the labels, in order.
    """
    labels = labels_of(dataset).astype('<i8')
    return hashlib.sha256(labels.tobytes()).hexdigest()
