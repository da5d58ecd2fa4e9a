# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which files are checkpoints that this run has written?

A checkpoint may come from anywhere, so what it says never names a file to
remove or write. A run has a random number that each of its checkpoints holds;
only a file of the right name, in the run's folder, with that number is its
own.
"""

import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from mask_plugins.utils.checks import PathLike

from .checkpoint_guard import load_tensors

# In a checkpoint's meta: the run's number, and whether the checkpoint was
# saved out of turn.
MARK = 'mask_plugins'


class OwnCheckpoint(NamedTuple):
    """What the name of a checkpoint says.

    Args:
        name (str): The file's name, without a folder.
        step (int): Epoch or iteration.
        best (str): What it is the best of, '' for one that is not a best.
        out_of_turn (bool): Whether it was saved between two others. Defaults
            to False.
    """

    name: str
    step: int
    best: str
    out_of_turn: bool = False


def own_checkpoint(
    name: Any, filename_tmpl: str = 'epoch_{}.pth'
) -> Optional[OwnCheckpoint]:
    """Parse a name, if a run with this template writes such names.

    Args:
        name (Any): What may be the name of a checkpoint.
        filename_tmpl (str): Name of a checkpoint, with ``{}`` for the step.
            Defaults to 'epoch_{}.pth'.

    Returns:
        OwnCheckpoint, optional: None for anything else: paths, other names,
        what is not a str.

    Examples:
        >>> own_checkpoint('best_accuracy_top1_epoch_3.pth')
        OwnCheckpoint(name='best_accuracy_top1_epoch_3.pth', step=3, \
best='accuracy_top1', out_of_turn=False)
        >>> own_checkpoint('iter_40.pth').step
        40
        >>> own_checkpoint('../epoch_3.pth'), own_checkpoint(3)
        (None, None)
    """
    if not isinstance(name, str) or os.path.basename(name) != name:
        return None
    for template in dict.fromkeys((filename_tmpl, 'iter_{}.pth')):
        head, tail = re.split(r'\{[^}]*\}', template)
        match = re.fullmatch(
            rf'(?:best_([^\0/]+)_)?({re.escape(head)}([0-9]{{1,18}})'
            rf'{re.escape(tail)})',
            name,
        )
        if match and template.format(int(match[3])) == match[2]:
            late, best = template != filename_tmpl, match[1] or ''
            return OwnCheckpoint(name, int(match[3]), best, late)
    return None


def own_checkpoints(
    folder: PathLike, filename_tmpl: str, run: str
) -> List[OwnCheckpoint]:
    """The checkpoints in a folder that a run has written.

    Args:
        folder (str | PathLike): The folder; links in it are left out.
        filename_tmpl (str): See :func:`own_checkpoint`.
        run (str): Number of the run.

    Examples:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     meta = {MARK: dict(run='a1')}
        ...     torch.save(dict(meta=meta), f'{folder}/epoch_1.pth')
        ...     torch.save(dict(meta={}), f'{folder}/epoch_2.pth')
        ...     own = own_checkpoints(folder, 'epoch_{}.pth', 'a1')
        >>> [checkpoint.name for checkpoint in own]
        ['epoch_1.pth']
    """
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        own = own_checkpoint(entry.name, filename_tmpl)
        if own and entry.is_file(follow_symlinks=False):
            mark = read_mark(_load(entry.path))
            if mark.get('run') == run:
                late = own.out_of_turn or mark.get('out_of_turn') is True
                found.append(own._replace(out_of_turn=late))
    return found


def read_mark(checkpoint: Any) -> Dict[str, Any]:
    """What a checkpoint says of its run, {} if it says nothing.

    Examples:
        >>> read_mark(dict(meta={MARK: dict(run='a1')}))
        {'run': 'a1'}
        >>> read_mark(['not', 'a', 'checkpoint'])
        {}
    """
    try:
        return dict(checkpoint['meta'][MARK])
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError):
        return {}


def _load(path: str) -> Any:
    try:  # tensors are mapped, not read
        return load_tensors(path, mmap=True)
    except Exception:  # whatever it is, it is not a checkpoint of this run
        return None


def sort_out(
    own: Sequence[OwnCheckpoint], now: int, resumed: str, current: Set[str]
) -> Tuple[List[int], str, Dict[str, str], List[str]]:
    """What each checkpoint of a run is to the run that resumes.

    Args:
        own (Sequence[OwnCheckpoint]): The checkpoints.
        now (int): Epoch or iteration that the run resumes at.
        resumed (str): Name of the checkpoint that it resumes from.
        current (set[str]): Names that may be those of the bests.

    Returns:
        tuple: Steps that were saved in turn; the name of the resumed one if
        it was saved out of turn; what is best of what; names of those that a
        killed run has not removed.

    Examples:
        >>> names = ['epoch_1.pth', 'iter_9.pth', 'best_acc_epoch_0.pth']
        >>> own = [own_checkpoint(name) for name in names]
        >>> sort_out(own, 1, 'epoch_1.pth', set())
        ([1], '', {}, ['iter_9.pth', 'best_acc_epoch_0.pth'])
    """
    steps, out_of_turn, bests, outdated = [], '', {}, []
    for checkpoint in own:
        name = checkpoint.name
        if checkpoint.best:
            if name in current:
                bests[checkpoint.best] = name
            elif checkpoint.step < now:
                outdated.append(name)
        elif not checkpoint.out_of_turn:
            if checkpoint.step <= now:
                steps.append(checkpoint.step)
        elif name == resumed:
            out_of_turn = name
        else:
            outdated.append(name)
    return steps, out_of_turn, bests, outdated
