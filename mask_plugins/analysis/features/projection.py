# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Embeddings to two dimensions, by scikit-learn."""

from typing import List, Tuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from mask_plugins.utils.checks import check_choice, check_int, check_number
from mask_plugins.utils.openmmlab import imports_for

METHODS = ('pca', 'tsne')


def project(
    embeddings: Tensor,
    method: str = 'pca',
    perplexity: float = 30.0,
    seed: int = 0,
) -> Tuple[np.ndarray, List[str]]:
    """Project unit embeddings.

    Args:
        embeddings (Tensor): :math:`(N, D)`; scaled to unit length here.
        method (str): ``'pca'`` or ``'tsne'``. Defaults to 'pca'.
        perplexity (float): Of t-SNE. Defaults to 30.
        seed (int): Of t-SNE. Defaults to 0.

    Returns:
        tuple: Points, :math:`(N, 2)`, and what the two axes are called.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If ``method`` is unknown, there are fewer than 3 images,
            or ``perplexity`` is not above 0 and below their number.

    Examples:
        >>> import torch
        >>> points, axes = project(torch.randn(8, 4))
        >>> points.shape, axes[0][:11]
        ((8, 2), 'component 1')
    """
    check_choice('method', method, METHODS)
    count = len(embeddings)
    check_int('number of images', count, 3)
    if method == 'tsne':
        check_number('perplexity', perplexity, 0, count, '()')
    with imports_for('an embedding map'):
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    rows = F.normalize(embeddings.float()).numpy()
    if method == 'pca':
        model = PCA(2, svd_solver='full')
        points = model.fit_transform(rows)
        shares = 100 * model.explained_variance_ratio_
        return points, [
            f'component {number} ({share:.0f} % of the variance)'
            for number, share in enumerate(shares, 1)
        ]
    points = TSNE(
        2, perplexity=perplexity, init='pca', random_state=seed
    ).fit_transform(rows)
    return points, ['t-SNE 1', 't-SNE 2']
