# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is a mask? Pure functions and small modules on torch alone.

Nothing in here imports mmengine, mmcv or mmpretrain, so every part serves
mmdet, mmseg and plain PyTorch users as it is.
"""
