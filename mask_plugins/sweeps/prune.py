# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Remove checkpoints of runs that are over."""

import os
import os.path as osp
import re
from typing import List, NamedTuple

from mask_plugins.engine.checkpoint.keep_policy import KeepPolicy
from mask_plugins.utils.checks import PathLike, check_path

_NUMBERED = re.compile(r'(epoch|iter)_(\d+)\.pth')
_BEST = re.compile(r'best_.+_(epoch|iter)_\d+\.pth')


class Removed(NamedTuple):
    """A checkpoint, and the bytes that it took."""

    path: str
    size: int


def prune(
    work_dir: PathLike, policy: KeepPolicy, dry_run: bool = False
) -> List[Removed]:
    """Remove what a policy does not keep.

    What ``last_checkpoint`` names always stays. The best stays only if the
    policy says so. Only files with names of checkpoints go, never a link or a
    folder.

    Args:
        work_dir (str | os.PathLike): Folder of the run; it must not be
            training.
        policy (KeepPolicy): What stays.
        dry_run (bool): Only say what would go. Defaults to False.

    Returns:
        list[Removed]: What went.

    Raises:
        ValueError: If the folder, or the one that holds it, is a link.

    Examples:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for epoch in (1, 2):
        ...         path = pathlib.Path(folder, f'epoch_{epoch}.pth')
        ...         _ = path.write_text('weights')
        ...     removed = prune(folder, KeepPolicy(newest=1))
        >>> [(osp.basename(one.path), one.size) for one in removed]
        [('epoch_1.pth', 7)]
    """
    work_dir = osp.abspath(check_path('work_dir', work_dir))
    for folder in (work_dir, osp.dirname(work_dir)):
        if osp.islink(folder):
            raise ValueError(
                f'{folder} is a link: nothing is removed through one'
            )
    if not osp.isdir(work_dir):
        return []
    last = ''
    pointer = osp.join(work_dir, 'last_checkpoint')
    if osp.isfile(pointer):
        with open(pointer, encoding='utf-8', errors='replace') as file:
            last = osp.basename(file.read().strip())
    with os.scandir(work_dir) as entries:
        files = {
            entry.name: entry.stat(follow_symlinks=False).st_size
            for entry in entries
            if entry.is_file(follow_symlinks=False) and entry.name != last
        }
    old = [] if policy.best else list(filter(_BEST.fullmatch, files))
    # Epochs and iterations are counted apart; the last one counts, too.
    for kind in ('epoch', 'iter'):
        numbered = filter(None, map(_NUMBERED.fullmatch, [*files, last]))
        steps = [int(found[2]) for found in numbered if found[1] == kind]
        old += [f'{kind}_{step}.pth' for step in policy.outdated(steps)]
    removed = []
    for name in old:
        if name in files:
            path = osp.join(work_dir, name)
            removed.append(Removed(path, files[name]))
            if not dry_run:
                os.remove(path)
    return removed
