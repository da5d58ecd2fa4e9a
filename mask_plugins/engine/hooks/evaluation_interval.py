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
        done, length = runner.iter, len(runner.train_dataloader)
        last = loop.max_iters
    else:
        done, length, last = runner.epoch, 1, loop.max_epochs
    every = interval * length
    return done >= last or bool(every and done % every == 0)
