# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Remove checkpoints of runs that are over."""

import os
import os.path as osp
import re
from typing import Dict, List, NamedTuple

from mask_plugins.engine.checkpoint.disk_space import size_of
from mask_plugins.engine.checkpoint.keep_policy import KeepPolicy

_NUMBERED = re.compile(r'(epoch|iter)_(\d+)\.pth')
_BEST = re.compile(r'best_.+\.pth')


class Removed(NamedTuple):
    """A checkpoint, and the bytes that it took."""

    path: str
    size: int


def prune(
    work_dir: str, policy: KeepPolicy, dry_run: bool = False
) -> List[Removed]:
    """Remove what a policy does not keep.

    What ``last_checkpoint`` names always stays. The best stays only if the
    policy says so.

    Args:
        work_dir (str): Folder of the run; it must not be training.
        policy (KeepPolicy): What stays.
        dry_run (bool): Only say what would go. Defaults to False.

    Returns:
        list[Removed]: What went.
    """
    if not osp.isdir(work_dir):
        return []
    last = ''
    pointer = osp.join(work_dir, 'last_checkpoint')
    if osp.isfile(pointer):
        with open(pointer, encoding='utf-8') as file:
            last = osp.basename(file.read().strip())
    # Epochs and iterations are counted apart.
    steps: Dict[str, List[int]] = dict(epoch=[], iter=[])
    best = []
    for name in sorted(os.listdir(work_dir)):
        found = _NUMBERED.fullmatch(name)
        if found:
            steps[found[1]].append(int(found[2]))
        elif _BEST.fullmatch(name):
            best.append(name)
    names = [
        f'{kind}_{step}.pth'
        for kind, numbers in steps.items()
        for step in policy.outdated(numbers)
    ]
    names += [] if policy.best else best
    removed = []
    for name in names:
        if name != last:
            path = osp.join(work_dir, name)
            removed.append(Removed(path, size_of(path)))
            if not dry_run:
                os.remove(path)
    return removed
