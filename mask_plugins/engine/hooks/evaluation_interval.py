# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Whether a costly measure is taken at this validation."""

from mmengine.runner import BaseLoop, Runner

from mask_plugins.datasets.samplers import locate_step


def is_due(runner: Runner, interval: int) -> bool:
    """Whether a measure is due.

    Args:
        runner (Runner): The runner, after a validation.
        interval (int): Epochs between two; 0 asks for the last alone. The
            last validation, and one without a training, always count.
    """
    loop = runner._train_loop
    if not isinstance(loop, BaseLoop):  # a validation without a training
        return True
    if hasattr(loop, 'dataloader_iterator'):  # counts no epochs
        epoch, rest = locate_step(runner.train_dataloader, runner.iter)
        done = runner.iter >= loop.max_iters
    else:
        epoch, rest = runner.epoch, 0
        done = epoch >= loop.max_epochs
    return done or bool(interval and not rest and epoch % interval == 0)
