# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""From a path to a config."""

import os
import os.path as osp
from typing import Optional

import yaml
from mmengine.config import Config

from mask_plugins.utils.checks import PathLike, check_path

from .config_keys import check_options
from .find_config import find_config


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
    folder, suffix = osp.dirname(path) or '.', osp.splitext(path)[1]
    if osp.isdir(path):
        why = 'it is a folder, not a file'
    elif not osp.isdir(folder):
        why = f'there is no folder {folder}'
    else:
        there = sorted(x for x in os.listdir(folder) if x.endswith(suffix))
        shown = there[:5] + ['...'] * (len(there) > 5)
        why = f'{folder} has: {", ".join(shown) or f"no *{suffix} file"}'
    raise FileNotFoundError(f'{name}: file not found: {path}; {why}')


def read_config(path: PathLike) -> Config:
    """Read a config file; what is wrong in it is said with its name.

    Args:
        path (str | PathLike): The file.

    Returns:
        Config: As it is.

    Raises:
        FileNotFoundError: If it, or a base, is missing.
        ValueError: If it, or a base, is no text of its kind. Errors of the
            code in it are its own.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = open(f'{folder}/some.py', 'w').write('model = (')
        ...     read_config(f'{folder}/some.py')  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: config ...some.py, or a base, cannot be read: ...
    """
    try:
        return Config.fromfile(path)
    except (
        AttributeError,
        RecursionError,
        SyntaxError,
        UnboundLocalError,
        ValueError,
        yaml.YAMLError,
    ) as error:
        if isinstance(error, UnboundLocalError):
            # mmengine's, where no stack is left to make its temporary file.
            if not isinstance(error.__context__, RecursionError):
                raise
            error = error.__context__
        ours = isinstance(error, AttributeError)
        if ours and os.fspath(path).endswith('.py'):
            raise
        # Of JSON and of decoding it is a kind of its own, and of null bytes
        # a SyntaxError since Python 3.12. All others are the config's words.
        plain = type(error) is ValueError
        if plain and 'null bytes' not in str(error):
            raise
        why = 'it holds no keys' if ours else error
        raise ValueError(
            f'config {os.fspath(path)}, or a base, cannot be read: {why}'
        ) from error


def load_config(
    path: PathLike,
    work_dir: Optional[str] = None,
    options: Optional[dict] = None,
) -> Config:
    """Read a config, apply ``--cfg-options`` and settle the work_dir.

    An option that nothing reads gives a warning; one that changes a variable
    which the config file has used up is an error.

    Args:
        path (str | PathLike): The config: a file, or a name as of
            :func:`mask_plugins.apis.find_config.find_config`.
        work_dir (str, optional): Overrides the one in the config; without
            either it is ``./work_dirs/<name of the config>``. Defaults to
            None.
        options (dict, optional): Dotted keys and their values. Defaults to
            None.

    Returns:
        Config: The config.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If an option changes a variable that is used up, or the
            file cannot be read.

    Examples:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = open(f'{folder}/some.py', 'w').write('model = dict(a=1)')
        ...     cfg = load_config(f'{folder}/some.py', options={'model.a': 2})
        >>> cfg.model.a, cfg.work_dir
        (2, 'work_dirs/some')
    """
    path = find_config(path)
    check_file(path, 'config')
    cfg = read_config(path)
    check_options(cfg, options)
    if options:
        cfg.merge_from_dict(options)
    if work_dir is not None:
        cfg.work_dir = os.fspath(work_dir)
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(path))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    return cfg
