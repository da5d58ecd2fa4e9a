# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What to install where a library is missing.

No project of OpenMMLab is a requirement of the package: upstream's and OneDL's
distributions have the same modules, and pip would install one over the other.
The others serve one part of the package each.
"""

import contextlib
from importlib import metadata
from typing import Iterator

# The command for each project: upstream, OneDL.
PROJECTS = {
    'mmengine': ("'mmengine>=0.10,<1'", "'onedl-mmengine>=0.10.12'"),
    'mmcv': ("'mmcv-lite>=2.0,<2.2'", "'onedl-mmcv>=2.3.6'"),
    'mmpretrain': ("'mmpretrain>=1.2,<2'", "'onedl-mmpretrain>=1.3.6'"),
}
# What pip is asked for, by the name of the module.
LIBRARIES = dict(
    optuna='"mask_plugins[search]"',
    peft='peft',
    pytorch_metric_learning="'pytorch-metric-learning<3'",
    safetensors='safetensors',
    scipy='scipy',
    sklearn='scikit-learn',
    timm="'mask_plugins[pretrained]'",
    tokenizers="'mask_plugins[clip]'",
    transformers="'mask_plugins[clip]'",
)
ONEDL = (
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmpretrain',
    'onedl-mmdetection',
    'onedl-mmsegmentation',
    'onedl-mim',
)


def install_command(project: str) -> str:
    """The command that installs a project next to what is installed.

    Args:
        project (str): ``'mmengine'``, ``'mmcv'``, ``'mmpretrain'``, or a
            module of :data:`LIBRARIES`.

    Returns:
        str: The command: for the distribution of OneDL if any of theirs is
        installed, else for that of upstream.

    Examples:
        >>> install_command('mmengine').startswith('pip install')
        True
    """
    if project in LIBRARIES:
        return f'pip install {LIBRARIES[project]}'
    upstream, fork = PROJECTS[project]
    return f'pip install {fork if _has_onedl() else upstream}'


@contextlib.contextmanager
def imports_for(what: str = 'this part of mask_plugins') -> Iterator:
    """Say what to install if an import in the block lacks a library.

    Other errors pass unchanged, such as those of a library that is installed
    and broken.

    Args:
        what (str): What the imports are for. Defaults to ``'this part of
            mask_plugins'``.

    Raises:
        ModuleNotFoundError: If a library that :func:`install_command` knows
            is not installed, with the command.

    Examples:
        >>> with imports_for('tools/train.py'):
        ...     from mmengine.config import Config
    """
    try:
        yield
    except ModuleNotFoundError as error:
        project = (error.name or '').partition('.')[0]
        if project not in {**PROJECTS, **LIBRARIES}:
            raise
        raise ModuleNotFoundError(
            missing_message(project, what), name=error.name
        ) from error


def missing_message(project: str, what: str) -> str:
    """The text of an error about a project that is not installed.

    Args:
        project (str): See :func:`install_command`.
        what (str): What needs it.

    Returns:
        str: What is needed, and the command that installs it.

    Examples:
        >>> missing_message('mmcv', 'VideoClips').partition(':')[0]
        'VideoClips needs mmcv, which is not installed'
    """
    return (
        f'{what} needs {project}, which is not installed: '
        f'{install_command(project)}'
    )


def _has_onedl() -> bool:
    for name in ONEDL:
        with contextlib.suppress(metadata.PackageNotFoundError):
            metadata.version(name)
            return True
    return False
