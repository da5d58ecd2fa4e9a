# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From where can a run be resumed, and what does it then owe?"""

import os
import os.path as osp
import pickle
import re
import zipfile
import zlib
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.runner import Runner

from mask_plugins.datasets.samplers import first_step
from mask_plugins.utils.inert_pickle import Budget

from .checkpoint_guard import check_parts, load_tensors
from .own_checkpoints import own_checkpoint
from .plain_checkpoint import from_plain

# Key in the message hub: iterations trained when the last validation ended.
LAST_VALIDATED = 'last_validated_iter'
# What every checkpoint of a run has.
RUN_KEYS = ('meta', 'state_dict', 'message_hub')


class UnsafeCheckpointError(RuntimeError):
    """A sound checkpoint with pickled objects, which are not loaded."""


class IncompleteCheckpointError(ValueError):
    """A sound checkpoint that lacks what a run is resumed with."""


class ResumeChoice(NamedTuple):
    """How a run that is to be resumed should start.

    Args:
        resume (bool): False where there is nothing to resume from.
        path (str, optional): The checkpoint. Defaults to None.
        warning (str): What to tell the user. Defaults to ''.
    """

    resume: bool
    path: Optional[str] = None
    warning: str = ''


def check_checkpoint(path: str, keys: Sequence[str] = ()) -> None:
    """Read a local checkpoint the way mmengine will.

    Args:
        path (str): The file.
        keys (Sequence[str]): What must be in it. Defaults to ().

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is a folder, truncated or corrupt.
        IncompleteCheckpointError: If it lacks one of the keys.
        UnsafeCheckpointError: If it holds pickled objects.

    Examples:
        >>> check_checkpoint('epoch_1.pth')
        Traceback (most recent call last):
        ...
        FileNotFoundError: epoch_1.pth does not exist
    """
    if osp.isdir(path):
        raise ValueError(f'{path} is a folder')
    if not osp.isfile(path):
        raise FileNotFoundError(f'{path} does not exist')
    if not osp.getsize(path):
        raise ValueError(f'{path} is empty')
    is_zip = False
    try:
        is_zip = zipfile.is_zipfile(path)  # torch.save's format since 1.6
        if is_zip:
            _check_records(path)
        checkpoint: Any = load_tensors(path, mmap=is_zip or None)
    except pickle.UnpicklingError as error:
        if not is_zip:
            raise ValueError(f'{path} is not a checkpoint') from error
        if os.environ.get('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD') in ('1', 'true'):
            return  # the user trusts it
        raise UnsafeCheckpointError(_unsafe(path, error)) from error
    except Exception as error:
        raise ValueError(f'{path} is corrupt: {error!r}') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} is not a checkpoint')
    missing = [key for key in keys if key not in checkpoint]
    if missing:
        only = 'state_dict' in checkpoint and 'meta' in missing
        what = 'it has weights only, ' if only else ''
        said = f'{what}without {", ".join(missing)}'
        advice = 'Use load_from and resume=False'
        raise IncompleteCheckpointError(f'{path}: {said}. {advice}')
    try:
        check_parts(checkpoint, keys)
        _spend(checkpoint, Budget(osp.getsize(path)))
        from_plain(checkpoint)
    except Exception as error:  # whatever it is, the file is at fault
        raise ValueError(f'{path} cannot be used: {error!r:.300}') from error


def _check_records(path: str) -> None:
    """Compare what torch reads of an archive with the checksums in it.

    Python's reader would not do: it overlooks flags that torch minds.
    """
    options = getattr(torch.serialization, 'get_crc32_options', lambda: True)
    reader = torch._C.PyTorchFileReader(path)
    with zipfile.ZipFile(path) as archive:
        records = {i.filename.partition('/')[2]: i for i in archive.infolist()}
    if set(records) != set(reader.get_all_records()):
        raise ValueError('its table of contents is damaged')
    size = osp.getsize(path)
    for name, info in records.items():
        # Torch stores; what is compressed may take any memory.
        if info.compress_type or info.file_size > size:
            raise ValueError(f'{name} is damaged')
        data = reader.get_record(name)
        wrong = options() and zlib.crc32(data) != info.CRC
        if wrong or len(data) != info.file_size or info.external_attr & 16:
            raise ValueError(f'{name} is damaged')


def _spend(value: Any, budget: Budget) -> None:
    """Refuse tensors that stand for many more elements than the file has."""
    if isinstance(value, torch.Tensor):
        if value.layout is torch.strided:
            budget.spend(value.numel() * value.element_size())
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            _spend(item, budget)


def _unsafe(path: str, error: Exception) -> str:
    found = re.search(r'GLOBAL (\S+)', str(error))
    what = found.group(1) if found else 'an object that is not a tensor'
    message = f'{path} holds pickled objects ({what}), which can run any code'
    if what.startswith(('mmengine.logging.', 'numpy.')):
        message += (
            ". mmengine's CheckpointHook writes such objects. Convert the file"
            ' by tools/model_converters/stock_to_safe.py or, if you trust it,'
            ' set TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 for this one run'
        )
    return message


def check_named_checkpoint(path: str, keys: Sequence[str] = ()) -> None:
    """Read the checkpoint that ``load_from`` names; a URL is not looked at.

    Args:
        path (str): Value of ``load_from``.
        keys (Sequence[str]): What must be in it. Defaults to ().

    Raises:
        FileNotFoundError, ValueError, UnsafeCheckpointError: As
            :func:`check_checkpoint`.

    Examples:
        >>> check_named_checkpoint('https://example.org/weights.pth')
    """
    if '://' in path:
        return
    try:
        check_checkpoint(osp.expanduser(path), keys)
    except (ValueError, OSError) as error:
        raise type(error)(f'load_from={path!r}: {error}') from error


def checkpoint_folders(work_dir: str, out_dir: Optional[str]) -> List[str]:
    """Where the checkpoints of a run lie, as mmengine works it out.

    Args:
        work_dir (str): Folder of the run.
        out_dir (str, optional): What the checkpoint hook was given.

    Examples:
        >>> checkpoint_folders('work_dirs/a', None)
        ['work_dirs/a']
        >>> checkpoint_folders('work_dirs/a', '/data')
        ['/data/a']
    """
    if out_dir is None or out_dir == work_dir:
        return [work_dir]
    return [osp.join(out_dir, osp.basename(work_dir.rstrip(osp.sep)))]


def choose_checkpoint(
    work_dir: str, folders: Sequence[str], filename_tmpl: str, keys=RUN_KEYS
) -> ResumeChoice:
    """The newest checkpoint of a run that is sound.

    Args:
        work_dir (str): Where ``last_checkpoint`` lies.
        folders (Sequence[str]): Where checkpoints lie; the folder of the one
            that ``last_checkpoint`` names is searched too.
        filename_tmpl (str): Their name, with ``{}`` for the step.
        keys (Sequence[str]): What must be in it.

    Returns:
        ResumeChoice: With a warning if it is not what ``last_checkpoint``
        names.

    Raises:
        UnsafeCheckpointError: If a sound one holds pickled objects.
        IncompleteCheckpointError: If there are sound ones, and all of them
            lack a key: training from scratch would overwrite them.

    Examples:
        >>> folder = 'a/folder/that/does/not/exist'
        >>> choose_checkpoint(folder, [folder], 'epoch_{}.pth').resume
        False
    """
    last_file = osp.join(work_dir, 'last_checkpoint')
    last, why = '', f'{last_file} does not exist'
    if osp.isfile(last_file):
        # A damaged one must not end the search.
        with open(last_file, errors='replace') as file:
            last = file.read().strip()
        why = '' if last else f'{last_file} is empty'
    if '://' in last and osp.dirname(last) in folders:
        return ResumeChoice(True, last)
    if last:
        folders = [*folders, osp.dirname(last) or '.']
    problems = [why] if why else []
    incomplete: Optional[IncompleteCheckpointError] = None
    for path in checkpoint_candidates(last, folders, filename_tmpl):
        try:
            check_checkpoint(path, keys)
        except (ValueError, OSError) as error:
            problems.append(str(error))
            if isinstance(error, IncompleteCheckpointError):
                incomplete = incomplete or error
        else:
            said = f'{"; ".join(problems)}. Resuming from {path}'
            return ResumeChoice(True, path, said if problems else '')
    if problems == [why]:
        return ResumeChoice(False)  # nothing has begun
    if incomplete is not None:
        raise incomplete
    warning = f'{"; ".join(problems)}: training starts from scratch'
    return ResumeChoice(False, warning=warning)


def checkpoint_candidates(
    last: Optional[str], folders: Sequence[str], filename_tmpl: str
) -> Iterator[str]:
    """Where a run may be resumed from, the best first.

    That is what ``last_checkpoint`` names, or without it one that was saved
    out of turn; then, from the newest on, the checkpoints that are not newer
    than that one. A newer one may be another run's that was overwritten in
    part.

    Args:
        last (str, optional): Content of ``last_checkpoint``.
        folders (Sequence[str]): Where checkpoints lie.
        filename_tmpl (str): Their name, with ``{}`` for the step.

    Yields:
        str: A path that may or may not exist.

    Examples:
        >>> list(checkpoint_candidates('a/epoch_2.pth', [], 'epoch_{}.pth'))
        ['a/epoch_2.pth']
    """
    limit = float('inf')
    named = own_checkpoint(osp.basename(last or ''), filename_tmpl)
    if named and not named.out_of_turn:
        limit = named.step
    found: List[Tuple[bool, int, str]] = []
    for folder in dict.fromkeys(folders):
        for name in os.listdir(folder) if osp.isdir(folder) else ():
            own = own_checkpoint(name, filename_tmpl)
            if not own or own.best:
                continue
            # In a folder that was moved, that is what `last` means.
            late = own.out_of_turn
            if (not last or own == named) if late else own.step <= limit:
                found.append((late, own.step, osp.join(folder, name)))
    paths = [path for _, _, path in sorted(found, reverse=True)]
    yield from dict.fromkeys([last, *paths] if last else paths)


def inside_epoch(runner: Runner) -> bool:
    """Whether the checkpoint was saved mid-epoch and the loop restarts it."""
    loop = runner.train_loop
    if hasattr(loop, 'dataloader_iterator') or hasattr(loop, 'batches_done'):
        return False
    return runner.iter != first_step(loop.dataloader, loop.epoch)


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
    validated = runner.message_hub.get_info(LAST_VALIDATED)
    if runner.val_loop is None or done in (0, validated):
        return False
    if not hasattr(loop, 'val_begin') or not hasattr(loop, 'val_interval'):
        return False  # not a loop of mmengine's kind
    if hasattr(loop, '_decide_current_val_interval'):
        loop._decide_current_val_interval()
    if hasattr(loop, 'dataloader_iterator'):
        step, last = done, loop.max_iters
    elif inside_epoch(runner):
        return False  # no validation ends there
    elif hasattr(loop, 'batches_done') and loop.batches_done():
        return False
    else:
        step, last = loop.epoch, loop.max_epochs
    due = step % loop.val_interval == 0 or step == last
    return step >= loop.val_begin and due
