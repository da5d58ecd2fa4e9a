# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is drawn? Pure functions: arrays or JSON in, matplotlib figure out."""

from .curves import draw_curves, draw_overview
from .figure import save_figure
from .patch_distribution import draw_patch_distribution
from .patches import draw_patch_comparison, draw_patch_grid
from .schedules import draw_schedules
from .sweep import draw_sweep
from .train_times import draw_train_times

__all__ = [
    'draw_curves',
    'draw_overview',
    'draw_patch_comparison',
    'draw_patch_distribution',
    'draw_patch_grid',
    'draw_schedules',
    'draw_sweep',
    'draw_train_times',
    'save_figure',
]
