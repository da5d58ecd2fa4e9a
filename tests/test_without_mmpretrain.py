# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What an mmdet user has, who has no mmpretrain."""

from tests.common.processes import run_python
from tests.test_imports import BLOCK

SCRIPT = """
import importlib.util

real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *args: (
    None if name.split('.')[0] == 'mmpretrain' else real(name, *args)
)

from mmengine.registry import DATASETS, HOOKS, MODELS, TRANSFORMS

HOOKS.build(dict(type='mask_plugins.PSSHook'))
HOOKS.build(dict(type='mask_plugins.SeedHook'))
TRANSFORMS.build(dict(type='mask_plugins.SeedSample'))
print(len(DATASETS.build(dict(type='mask_plugins.Digits'))))
try:
    MODELS.build(dict(type='mask_plugins.PSSVisionTransformer'))
except ImportError as error:
    print(error)
"""


def test_the_rest_works_and_the_error_says_what_to_install():
    said = run_python('-c', BLOCK.format(blocked=('mmpretrain',)) + SCRIPT)
    assert '1433' in said.splitlines()  # torch 2.5 warns before it
    assert 'needs mmpretrain, which is not installed: pip install' in said
