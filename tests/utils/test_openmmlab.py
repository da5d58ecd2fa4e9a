# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is said where a project of OpenMMLab is missing."""

from importlib import metadata
from pathlib import Path

import pytest

from mask_plugins.utils.openmmlab import imports_for, install_command
from tests.common.processes import run_python

ROOT = Path(__file__).parents[2]
# Through these, users reach what needs mmengine.
DOORS = (
    'registry',
    'analysis',
    'apis',
    'benchmarks',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'sweeps',
)
SCRIPT = """
import importlib, sys
sys.modules[{project!r}] = None
import mask_plugins
for name in {modules!r}:
    try:
        importlib.import_module('mask_plugins.' + name)
    except ImportError as error:
        print(name, error)
"""


@pytest.mark.parametrize(
    ('installed', 'wanted'),
    [
        ((), "pip install 'mmcv-lite>=2.0,<2.2'"),
        (('mmengine', 'openmim'), "pip install 'mmcv-lite>=2.0,<2.2'"),
        (('onedl-mmengine',), "pip install 'onedl-mmcv>=2.3.6'"),
        (('onedl-mim',), "pip install 'onedl-mmcv>=2.3.6'"),
    ],
)
def test_the_command_is_that_of_this_environment(
    monkeypatch, installed, wanted
):
    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return '1.0'

    monkeypatch.setattr(metadata, 'version', version)
    assert install_command('mmcv') == wanted


def test_a_broken_project_is_not_a_missing_one():
    """What it lacks is told as it is."""
    with pytest.raises(ModuleNotFoundError, match=r"named 'no_such'$"):
        with imports_for():
            import no_such  # noqa: F401
    with pytest.raises(ImportError, match='libGL'):
        with imports_for():
            raise ImportError('libGL.so.1')


def test_every_door_names_mmengine_and_the_command():
    """And ``import mask_plugins`` works without it."""
    said = run_python('-c', SCRIPT.format(project='mmengine', modules=DOORS))
    lines = said.splitlines()
    assert [line.split()[0] for line in lines] == list(DOORS)
    for line in lines:
        assert 'needs mmengine, which is not installed: pip install' in line


@pytest.mark.parametrize('project', ['mmpretrain', 'mmcv'])
def test_models_name_what_is_missing(project):
    """The verb for backbones, and a config that names a model."""
    code = SCRIPT.format(
        project=project, modules=('models.backbones.token_sampler',)
    )
    code += (
        'from mmengine.registry import MODELS\n'
        'try:\n'
        "    MODELS.build(dict(type='mask_plugins.CIFARResNet'))\n"
        'except ImportError as error:\n'
        '    print(error)\n'
    )
    said = run_python('-c', code).splitlines()
    message = f'needs {project}, which is not installed: pip install'
    assert message in said[-2]
    assert f'mask_plugins.CIFARResNet {message}' in said[-1]


def test_a_tool_names_it():
    code = (
        'import runpy, sys\n'
        "sys.modules['mmengine'] = None\n"
        f'runpy.run_path({str(ROOT / "tools" / "train.py")!r})'
    )
    said = run_python('-c', code, code=1)
    assert said.splitlines()[-1].startswith(
        'ModuleNotFoundError: tools/train.py needs mmengine, which'
    )
