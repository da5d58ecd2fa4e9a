# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
# ruff: noqa: F401  (what it imports is what it exports)
"""What is drawn? Pure functions: arrays or JSON in, matplotlib figure out."""

from .accuracy_matrix import draw_accuracy_matrix
from .accuracy_rank import draw_accuracy_rank
from .curves import draw_curves, draw_overview
from .embedding_map import draw_embedding_map
from .figure import figure_to_image, save_figure
from .html_report import HtmlReport
from .linear_probe import draw_linear_probe
from .mask_density import draw_mask_density
from .mask_overlap import draw_mask_overlap
from .patch_distribution import draw_patch_distribution
from .patches import draw_patch_comparison, draw_patch_grid
from .retrieval_sheet import draw_retrieval_sheet
from .schedules import draw_schedules
from .sweep import draw_sweep
from .train_times import draw_train_times
