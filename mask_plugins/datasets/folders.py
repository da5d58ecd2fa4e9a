# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Walk through the folders of users: what is foreign, empty or a circle."""

import logging
import os
import unicodedata
from typing import Dict, Iterator, List, Set, Tuple

from mmengine.logging import print_log

from mask_plugins.utils.checks import PathLike

# What archives, file servers and file systems add.
FOREIGN = (
    '__MACOSX', '@eaDir', 'lost+found', '$RECYCLE.BIN',
    'System Volume Information',
)  # fmt: skip


def is_foreign(name: str) -> bool:
    """Whether a file or folder is hidden or of a system.

    Args:
        name (str): Its name.

    Examples:
        >>> [is_foreign(name) for name in ('__MACOSX', '._1.jpg', 'cat')]
        [True, True, False]
    """
    return name.startswith('.') or name in FOREIGN


def class_folders(folder: PathLike) -> Dict[str, str]:
    """The folders of classes by name, sorted.

    Names are in Unicode's composed form, whatever the file system has. What
    is hidden or of a system is left out, the latter with a warning.

    Args:
        folder (str | PathLike): What they lie in.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it has no folders in it, or two are of the same name
            but for their encoding.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ('cat', 'ant', '.cache'):
        ...         os.mkdir(f'{folder}/{name}')
        ...     list(class_folders(folder))
        ['ant', 'cat']
    """
    folder = os.path.abspath(folder)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f'folder not found: {folder}; data_root must have the folders '
            'data_prefix and class_prefix'
        )
    found: Dict[str, str] = {}
    for entry in os.scandir(folder):
        if not entry.is_dir() or entry.name.startswith('.'):
            continue
        if is_foreign(entry.name):
            warn(f'{entry.path} is not a class: left out')
            continue
        name = unicodedata.normalize('NFC', entry.name)
        if name in found:
            raise ValueError(
                f'{folder} has two folders for the class {name!r}, which '
                'differ in their Unicode form'
            )
        found[name] = entry.path
    if not found:
        raise ValueError(f'{folder} must have one folder per class in it')
    return dict(sorted(found.items()))


def walk_files(folder: PathLike) -> Iterator[Tuple[str, List[str]]]:
    """Every folder at or below a path with its files, each folder once.

    Links are followed, but not in circles. What is hidden or of a system is
    left out.

    Args:
        folder (str | PathLike): Where to begin.

    Yields:
        tuple: Path of a folder, names of its files.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = open(f'{folder}/a.png', 'w')
        ...     [names for _, names in walk_files(folder)]
        [['a.png']]
    """
    seen: Set[Tuple[int, int]] = set()
    for path, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not is_foreign(name))
        status = os.stat(path)
        place = status.st_dev, status.st_ino
        if place in seen:
            warn(f'{path} links to a folder that was read already: left out')
            folders.clear()
            continue
        seen.add(place)
        yield path, sorted(name for name in files if not is_foreign(name))


def warn(message: str) -> None:
    """Log a warning about the folders of a user."""
    print_log(message, 'current', logging.WARNING)
