# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Pictures of a run."""

from typing import Any

from mmengine.runner import Runner


def show_figure(runner: Runner, name: str, figure: Any, step: int) -> None:
    """Give a figure to the visualizer, and write it into the work_dir.

    Args:
        runner (Runner): The runner.
        name (str): Name of the picture; the file is ``<name>.png``.
        figure (matplotlib.figure.Figure): What is shown.
        step (int): Epoch that it is of.
    """
    from mask_plugins.visualization import figure_to_image, save_figure

    runner.visualizer.add_image(name, figure_to_image(figure), step)
    save_figure(figure, f'{runner.work_dir}/{name}.png', dpi=150)
