# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From where can a run be resumed, and what does it then owe?"""

import os.path as osp
import pickle
import re
import zipfile
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.runner import Runner

# Key in the message hub: iterations trained when the last validation ended.
LAST_VALIDATED = 'last_validated_iter'


class UnsafeCheckpointError(RuntimeError):
    """A sound checkpoint with pickled objects, which torch refuses."""


class ResumeChoice(NamedTuple):
    """How a run that is to be resumed should start.

    Args:
        resume (bool): False where nothing is left to resume from.
        load_from (str, optional): The checkpoint, None where mmengine finds
            it by itself. Defaults to None.
        warning (str): What to tell the user. Defaults to ''.
    """

    resume: bool
    load_from: Optional[str] = None
    warning: str = ''


def check_checkpoint(path: str, keys: Sequence[str] = ()) -> None:
    """Read a local checkpoint the way mmengine will.

    Args:
        path (str): The file; a folder (DeepSpeed) is taken as sound.
        keys (Sequence[str]): What must be in it. Defaults to ().

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is truncated or corrupt, or lacks one of the keys.
        UnsafeCheckpointError: If torch refuses to unpickle what is in it.
    """
    if osp.isdir(path):
        return
    if not osp.isfile(path):
        raise FileNotFoundError(f'{path} does not exist')
    is_zip = zipfile.is_zipfile(path)  # torch.save's format since 1.6
    problem = _broken_member(path) if is_zip else None
    if problem:
        raise ValueError(f'{path} is corrupt: {problem} is damaged')
    try:
        # The default of `weights_only` on purpose: this asks whether the
        # load that mmengine is about to make will work.
        checkpoint = torch.load(path, map_location='cpu', mmap=is_zip)
    except pickle.UnpicklingError as error:
        if not is_zip:
            raise ValueError(f'{path} is no checkpoint: {error}') from error
        raise UnsafeCheckpointError(_unsafe(path, error)) from error
    except Exception as error:
        raise ValueError(f'{path} cannot be read: {error}') from error
    missing = [
        key
        for key in keys
        if not isinstance(checkpoint, dict) or key not in checkpoint
    ]
    if missing:
        raise ValueError(f'{path} is no checkpoint of a run: no {missing}')


def _broken_member(path: str) -> Optional[str]:
    """Name of the first part of the archive with a wrong checksum."""
    checks = getattr(torch.serialization, 'get_crc32_options', lambda: True)
    if not checks():  # the user has torch write none
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        return str(error)


def _unsafe(path: str, error: Exception) -> str:
    found = re.search(r'GLOBAL (\S+)', str(error))
    what = found.group(1) if found else 'an object that is no tensor'
    return (
        f'{path} is not damaged, but it holds pickled objects ({what}), as '
        "mmengine's CheckpointHook writes them, and torch >= 2.6 refuses to "
        'load those. If you trust the file, set the environment variable '
        'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 for this one run; what '
        'SafeCheckpointHook then saves loads without it'
    )


def check_named_checkpoint(path: str) -> None:
    """Read the checkpoint that ``load_from`` names; a URL is not looked at.

    Args:
        path (str): Value of ``load_from``.

    Raises:
        FileNotFoundError, ValueError, UnsafeCheckpointError: As
            :func:`check_checkpoint`.
    """
    if '://' in path:
        return
    try:
        check_checkpoint(osp.expanduser(path))
    except UnsafeCheckpointError:
        raise
    except (ValueError, OSError) as error:
        raise type(error)(
            f'load_from={path!r} cannot be loaded: {error}'
        ) from error


def choose_checkpoint(
    work_dir: str, folders: Sequence[str], filename_tmpl: str
) -> ResumeChoice:
    """The newest checkpoint of a run that is sound.

    Args:
        work_dir (str): Where ``last_checkpoint`` lies.
        folders (Sequence[str]): Where checkpoints lie; the folder of the one
            that ``last_checkpoint`` names is searched too.
        filename_tmpl (str): Their name, with ``{}`` for the step.

    Returns:
        ResumeChoice: With a warning if it is not what ``last_checkpoint``
        names.

    Raises:
        UnsafeCheckpointError: If torch refuses to load a sound one.
    """
    last_file = osp.join(work_dir, 'last_checkpoint')
    last = ''
    if osp.isfile(last_file):
        # A damaged one must not end the search.
        with open(last_file, errors='replace') as file:
            last = file.read().strip()
    if '://' in last:
        return ResumeChoice(True)
    if last:
        folders = [*folders, osp.dirname(last) or '.']
    problems = []
    for path in checkpoint_candidates(last, folders, filename_tmpl):
        try:
            check_checkpoint(path, ('meta', 'state_dict', 'message_hub'))
        except (ValueError, OSError) as error:
            problems.append(str(error))
            continue
        warning = ''
        if problems or not last:
            why = '; '.join(problems) or f'{last_file} does not exist'
            warning = (
                f'{why}. Resuming from {path}; what came after it is trained '
                'again.'
            )
        # Left to mmengine where it chooses the same.
        return ResumeChoice(True, None if path == last else path, warning)
    if problems:
        return ResumeChoice(
            False,
            warning=f'{"; ".join(problems)}. There is no checkpoint to resume '
            'from: training starts from scratch, and new checkpoints replace '
            'the damaged ones of the same name.',
        )
    return ResumeChoice(True)


def checkpoint_candidates(
    last: Optional[str], folders: Sequence[str], filename_tmpl: str
) -> Iterator[str]:
    """Where a run may be resumed from, the best first.

    That is what ``last_checkpoint`` names; then, from the newest on, the
    checkpoints that are not newer than that one. A newer one may be another
    run's that was overwritten in part.

    Args:
        last (str, optional): Content of ``last_checkpoint``.
        folders (Sequence[str]): Where checkpoints lie.
        filename_tmpl (str): Their name, with ``{}`` for the step.

    Yields:
        str: A path that may or may not exist.
    """
    head, _, tail = filename_tmpl.partition('{}')
    pattern = re.compile(re.escape(head) + r'(\d+)' + re.escape(tail))
    limit = float('inf')
    if last:
        yield last
        named = pattern.fullmatch(Path(last).name)
        limit = int(named.group(1)) if named else limit
    found: List[Tuple[int, str]] = []
    for folder in dict.fromkeys(folders):
        for path in Path(folder).glob('*') if osp.isdir(folder) else ():
            named = pattern.fullmatch(path.name)
            if named and int(named.group(1)) <= limit and str(path) != last:
                found.append((int(named.group(1)), str(path)))
    for _, path in sorted(found, reverse=True):
        yield path


def inside_epoch(runner: Runner) -> bool:
    """Whether an epoch loop that cannot go on there is inside an epoch."""
    loop = runner.train_loop
    if hasattr(loop, 'dataloader_iterator') or hasattr(loop, 'batches_done'):
        return False
    return runner.iter != loop.epoch * len(loop.dataloader)


def owes_validation(runner: Runner) -> bool:
    """Whether the loop would have validated where the checkpoint was saved.

    mmengine saves first and validates then, so a run that was killed between
    the two owes a validation. The answer is the same on all ranks.

    Args:
        runner (Runner): A runner that has resumed and not trained yet.

    Returns:
        bool: False if the checkpoint records that validation.
    """
    loop, done = runner.train_loop, runner.iter
    if runner.val_loop is None or done == 0:
        return False
    if runner.message_hub.get_info(LAST_VALIDATED) == done:
        return False
    if not hasattr(loop, 'val_begin') or not hasattr(loop, 'val_interval'):
        return False  # no loop of mmengine's kind
    if hasattr(loop, '_decide_current_val_interval'):
        loop._decide_current_val_interval()
    if hasattr(loop, 'dataloader_iterator'):
        step, last = done, loop.max_iters
    elif hasattr(loop, 'batches_done') and loop.batches_done():
        return False  # no validation ends inside an epoch
    elif inside_epoch(runner):
        return False
    else:
        step, last = loop.epoch, loop.max_epochs
    due = step % loop.val_interval == 0 or step == last
    return step >= loop.val_begin and due
