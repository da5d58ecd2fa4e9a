# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Whether a costly measure is taken at this validation."""

from mmengine.runner import BaseLoop, Runner


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
        length = len(runner.train_dataloader)
        done, last = runner.iter // length, runner.iter >= loop.max_iters
        whole = runner.iter % length == 0
    else:
        done, last = runner.epoch, runner.epoch >= loop.max_epochs
        whole = True
    every = interval and whole and done % interval == 0
    return bool(last or every)
