# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From a path to a config."""

import difflib
import inspect
import logging
import os
import os.path as osp
from typing import Iterable, List, Optional

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from mask_plugins.utils.checks import PathLike, check_path

# What the runner and the tools read in addition to the runner's own arguments.
_ALSO_READ = {
    'auto_scale_lr',
    'compile',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
}


def check_file(path: PathLike, name: str) -> None:
    """Raise if a local file is missing; addresses (``x://y``) pass.

    Args:
        path (str | PathLike): The file.
        name (str): Name of the argument, for the message.

    Raises:
        FileNotFoundError: If there is no such file. The message says what
            lies in the folder, or which part of the path is missing.

    Examples:
        >>> check_file('https://example.org/x.pth', 'checkpoint')
        >>> check_file('missing/x.pth', 'checkpoint')
        Traceback (most recent call last):
        ...
        FileNotFoundError: checkpoint: file not found: missing/x.pth; there \
is no folder missing
    """
    path = check_path(name, path)
    if '://' in path or osp.isfile(path):
        return
    if osp.isdir(path):
        raise FileNotFoundError(f'{name}: {path} is a folder, not a file')
    folder = osp.dirname(path) or '.'
    if not osp.isdir(folder):
        raise FileNotFoundError(
            f'{name}: file not found: {path}; there is no folder {folder}'
        )
    suffix = osp.splitext(path)[1]
    there = sorted(x for x in os.listdir(folder) if x.endswith(suffix))
    more = ', ...' if len(there) > 5 else ''
    listed = ', '.join(there[:5]) + more if there else f'no *{suffix} file'
    raise FileNotFoundError(
        f'{name}: file not found: {path}; {folder} has: {listed}'
    )


def load_config(
    path: PathLike,
    work_dir: Optional[str] = None,
    options: Optional[dict] = None,
) -> Config:
    """Read a config, apply ``--cfg-options`` and settle the work_dir.

    An option that nothing reads gives a warning.

    Args:
        path (str | PathLike): The config file.
        work_dir (str, optional): Overrides the one in the config; without
            either it is ``./work_dirs/<name of the config>``. Defaults to
            None.
        options (dict, optional): Dotted keys and their values. Defaults to
            None.

    Returns:
        Config: The config.

    Raises:
        FileNotFoundError: If there is no such file.

    Examples:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = open(f'{folder}/some.py', 'w').write('model = dict(a=1)')
        ...     cfg = load_config(f'{folder}/some.py', options={'model.a': 2})
        >>> cfg.model.a, cfg.work_dir
        (2, 'work_dirs/some')
    """
    path = check_path('config', path)
    check_file(path, 'config')
    cfg = Config.fromfile(path)
    if options:
        for message in unread_keys(cfg, options):
            print_log(message, 'current', logging.WARNING)
        cfg.merge_from_dict(options)
    if work_dir is not None:
        cfg.work_dir = os.fspath(work_dir)
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(path))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    return cfg


def unread_keys(cfg: Config, options: Iterable[str]) -> List[str]:
    """Describe the options that neither the runner nor a tool reads.

    A variable that a config file uses while it is read, such as ``base_lr``,
    is one of them: the places that got its value keep it.

    Args:
        cfg (Config): The config before they are applied.
        options (Iterable[str]): Dotted keys.

    Returns:
        list[str]: One message for each.

    Examples:
        >>> unread_keys(Config(dict(model=dict())), ['modle.depth'])
        ["modle: nothing reads this key; did you mean 'model'?"]
    """
    known = set(inspect.signature(Runner.__init__).parameters) | _ALSO_READ
    messages = []
    for key in dict.fromkeys(key.split('.')[0] for key in options):
        if key in known:
            continue
        near = difflib.get_close_matches(key, sorted({*known, *cfg}), n=1)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        if key in cfg:
            hint = (
                ': it is a variable of the config file, and what was made '
                'from it keeps its value. Change that in its place'
            )
        messages.append(f'{key}: nothing reads this key{hint}')
    return messages
