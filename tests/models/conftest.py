# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Names of mmpretrain without a prefix, and repeatable weights."""

import pytest
import torch
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
