# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Log histories, which mmengine lets grow to a million values each."""

from mmengine.runner import Runner

from mask_plugins.datasets.samplers import full_length


def bound_histories(runner: Runner) -> None:
    """Keep of each scalar's history what the log looks back on.

    Args:
        runner (Runner): The runner; its message hub holds the histories.

    Examples:
        >>> from types import SimpleNamespace
        >>> from mmengine.logging import HistoryBuffer
        >>> scalars = {'train/loss': HistoryBuffer()}
        >>> hub = SimpleNamespace(log_scalars=scalars)
        >>> processor = SimpleNamespace(window_size=10, custom_cfg=[])
        >>> bound_histories(
        ...     SimpleNamespace(
        ...         message_hub=hub, log_processor=processor, val_loop=None
        ...     )
        ... )
        >>> scalars['train/loss'].max_length
        1000
    """
    buffers = runner.message_hub.log_scalars.values()
    new = [b for b in buffers if b.max_length == 1_000_000]  # the default
    longest = longest_window(runner) if new else 0
    for buffer in new:
        buffer.max_length = min(buffer.max_length, longest)


def longest_window(runner: Runner) -> int:
    """How many values of a scalar the log of a runner may look back on.

    Args:
        runner (Runner): The runner.

    Returns:
        int: At least 1,000; the length of an epoch or of the run where a
        window of ``log_processor`` says 'epoch' or 'global'.

    Examples:
        >>> from types import SimpleNamespace
        >>> processor = SimpleNamespace(window_size=10, custom_cfg=[])
        >>> runner = SimpleNamespace(log_processor=processor, val_loop=None)
        >>> longest_window(runner)
        1000
    """
    processor = runner.log_processor
    windows = [processor.window_size]
    windows += [cfg.get('window_size', 10) for cfg in processor.custom_cfg]
    longest = 1000
    for window in windows:
        if window == 'global':
            window = runner.max_iters
        elif window == 'epoch':
            window = full_length(runner.train_dataloader)
        longest = max(longest, window)
    if runner.val_loop is not None:  # mmengine averages `time` over it
        longest = max(longest, len(runner.val_loop.dataloader))
    return longest
