# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Equality to the bit of tensors, and of lists and dicts of them."""

from functools import partial

import torch

assert_equal = partial(torch.testing.assert_close, rtol=0, atol=0)
