# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which file is meant by the name of a config?"""

import difflib
import importlib.util
import os.path as osp
from pathlib import Path

from mask_plugins.utils.checks import PathLike, check_path


def find_config(name: PathLike) -> str:
    """The file that a name means, as ``mim train`` has it.

    Args:
        name (str | os.PathLike): A file; or the basename of a config or sweep
            of this package; or ``package::family/name.py``, a file in the
            configs of an installed OpenMMLab package.

    Returns:
        str: Its path. A path that names a folder is returned as it is, also
        if there is no such file.

    Raises:
        FileNotFoundError: If a basename or a name with ``::`` is none of the
            package's; it names near ones, in the working folder too.

    Examples:
        >>> path = find_config('mask_plugins::_base_/default_runtime.py')
        >>> path.endswith('configs/_base_/default_runtime.py')
        True
        >>> find_config('default_runtime.py') == path
        True
    """
    name = check_path('config', name)
    if osp.isfile(name):
        return name
    package, colons, path = name.rpartition('::')
    if not colons and (osp.dirname(name) or osp.isdir(name)):
        return name
    root = config_folder(package or 'mask_plugins')
    if osp.isfile(root / path):
        return str(root / path)
    suffix = osp.splitext(path)[1]
    files = sorted(root.rglob(f'*{suffix}')) if suffix else []
    same = [file for file in files if file.name == path]
    if len(same) == 1:
        return str(same[0])
    # What `_base_` holds is no whole config.
    names = [file.name for file in files if '_base_' not in file.parts]
    if suffix and not colons:
        names += [file.name for file in Path().glob(f'*{suffix}')]
    found = difflib.get_close_matches(osp.basename(path), names, n=3)
    raise FileNotFoundError(
        f'config: no file {name}, and {package or "mask_plugins"} has no '
        f'config of this name; near names: {", ".join(found) or "none"}'
    )


def config_folder(package: str) -> Path:
    """The configs of an installed package, or of its checkout.

    Args:
        package (str): Its name.

    Raises:
        FileNotFoundError: If it is not installed.

    Examples:
        >>> config_folder('mask_plugins').name
        'configs'
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f'config: {package} is not installed')
    folder = Path(next(iter(spec.submodule_search_locations)))
    installed = folder / '.mim' / 'configs'
    # A checkout that is not installed.
    return installed if installed.is_dir() else folder.parent / 'configs'
