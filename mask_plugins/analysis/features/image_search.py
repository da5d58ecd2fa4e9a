# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Find images that look alike: an index of embeddings, and queries to it."""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from mask_plugins.datasets.folders import walk_files
from mask_plugins.datasets.image_folder import ImageFolder
from mask_plugins.functional.neighbors import top_k_neighbors
from mask_plugins.utils.checks import PathLike, check_path
from mask_plugins.utils.files import replace_atomically

KEYS = ('embeddings', 'files', 'classes')


class ImageIndex(NamedTuple):
    """Embedded images: fp32 (N, D), their files, and their classes or ''."""

    embeddings: Tensor
    files: List[str]
    classes: List[str]


def find_images(path: PathLike) -> List[str]:
    """The image itself, or all images in a folder and below, sorted.

    Raises:
        FileNotFoundError: If there is no such file or folder.
        ValueError: If the folder has no images.
    """
    path = check_path('path', path)
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise FileNotFoundError(f'image or folder not found: {path}')
    endings = ImageFolder.EXTENSIONS
    found = [
        os.path.join(folder, name)
        for folder, names in walk_files(path)
        for name in names
        if name.lower().endswith(endings)
    ]
    if not found:
        raise ValueError(f'{path} has no images ({", ".join(endings)})')
    return sorted(found)


def class_of(file: str, folder: str) -> str:
    """The folder just below ``folder`` that a file lies in; '' if in none."""
    parts = os.path.relpath(file, folder).split(os.sep)
    return parts[0] if len(parts) > 1 else ''


def save_index(path: str, index: ImageIndex) -> str:
    """Write an index; the file appears whole or not at all."""
    with replace_atomically(path) as part, open(part, 'wb') as file:
        np.savez(
            file,
            embeddings=index.embeddings.numpy(),
            files=np.array(index.files, dtype=np.str_),
            classes=np.array(index.classes, dtype=np.str_),
        )
    return path


def load_index(path: PathLike) -> ImageIndex:
    """Read an index.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is another file.
    """
    path = check_path('path', path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'index not found: {path}')
    try:
        with np.load(path, allow_pickle=False) as data:
            embeddings, files, classes = (data[key] for key in KEYS)
    except (KeyError, OSError, ValueError, TypeError) as error:
        raise ValueError(
            f'{path} is not an index of images: {error}'
        ) from error
    return ImageIndex(
        torch.from_numpy(embeddings), files.tolist(), classes.tolist()
    )


def search(
    index: ImageIndex,
    query: ImageIndex,
    top_k: int,
    own: Optional[Sequence[int]] = None,
) -> List[Dict[str, Any]]:
    """The nearest images of each query, by cosine.

    Args:
        index (ImageIndex): What is searched.
        query (ImageIndex): What is sought.
        top_k (int): Results of each query, fewer in a smaller index.
        own (Sequence[int], optional): Where each query itself is in the
            index, -1 if nowhere; it does not find itself. Defaults to None.

    Returns:
        list[dict]: Per query ``file``, ``class`` and ``results``: ``index``,
        ``file``, ``class``, ``similarity``, and ``hit``, which is None where
        a class is not known.

    Raises:
        ValueError: If index and queries are of different models, or the index
            has no image besides the query.

    Examples:
        >>> index = ImageIndex(torch.eye(3), ['a', 'b', 'c'], ['x', 'y', 'x'])
        >>> query = ImageIndex(torch.eye(3)[:1], ['q'], ['x'])
        >>> (record,) = search(index, query, top_k=1)
        >>> record['results'][0]['file'], record['results'][0]['hit']
        ('a', True)
    """
    exclude = torch.tensor([-1] * len(query.files) if own is None else own)
    most = len(index.files) - int((exclude >= 0).any())
    if most < 1:
        raise ValueError('the index has no image besides the query itself')
    similar, found = top_k_neighbors(
        query.embeddings, index.embeddings, min(top_k, most), exclude=exclude
    )
    records = []
    for row, (file, name) in enumerate(zip(query.files, query.classes)):
        results = []
        for place, value in zip(found[row].tolist(), similar[row].tolist()):
            other = index.classes[place]
            hit = name == other if name and other else None
            shown = {'file': index.files[place], 'class': other or None}
            results.append(dict(shown, index=place, similarity=value, hit=hit))
        records.append({'file': file, 'class': name or None})
        records[-1]['results'] = results
    return records
