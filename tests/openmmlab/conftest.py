# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Runs that several tests look at."""

import pytest

from . import runs


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """A folder with generated data of both projects."""
    root = tmp_path_factory.mktemp('shapes')
    runs.write_shapes('coco', root / 'coco')
    runs.write_shapes('cityscapes', root / 'city')
    return root


@pytest.fixture(scope='session')
def trained(shapes):
    """From the name of a shipped config to (config, folder) of a small run."""
    made = {}

    def train(name):
        pytest.importorskip(runs.project_of(name))
        if name not in made:
            config = runs.small_file(name, shapes)
            folder = shapes / name
            runs.train(config, folder)
            made[name] = config, folder
        return made[name]

    return train
