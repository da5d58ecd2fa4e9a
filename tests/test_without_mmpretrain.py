# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What an mmdet user has, who has no mmpretrain."""

import subprocess
import sys

SCRIPT = """
import importlib.abc
import sys


class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'mmpretrain':
            raise ModuleNotFoundError(name)


real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *args: (
    None if name.split('.')[0] == 'mmpretrain' else real(name, *args)
)
sys.meta_path.insert(0, Blocker())

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
    run = subprocess.run(
        [sys.executable, '-c', 'import importlib.util\n' + SCRIPT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith('1433')
    assert "mim install 'mmpretrain>=1.2.0'" in run.stdout
