# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A runner whose console has warnings and one line per epoch."""

import logging

from mmengine.logging import MMLogger
from mmengine.runner import Runner

from ..hooks.progress_hook import ProgressHook

# mmengine's own calls of its own old names; nobody who trains can act on it.
OLD_NAMES = ('"FileClient" will be deprecated', '"HardDiskBackend" is the')


class QuietRunner(Runner):
    """mmengine's runner; the log file has everything, the console little.

    Examples:
        >>> issubclass(QuietRunner, Runner)
        True
    """

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build the logger, then quiet its console."""
        logger = super().build_logger(*args, **kwargs)
        quiet_console(logger)
        return logger

    def register_hooks(self, *args, **kwargs) -> None:
        """Register the hooks of the config and the progress line."""
        super().register_hooks(*args, **kwargs)
        self.register_hook(ProgressHook())


def quiet_console(logger: logging.Logger) -> None:
    """Show warnings and errors alone; files are left as they are.

    Args:
        logger (logging.Logger): Changed in place.

    Examples:
        >>> logger = logging.Logger('quiet')
        >>> logger.addHandler(logging.StreamHandler())
        >>> quiet_console(logger)
        >>> logger.handlers[0].level == logging.WARNING
        True
    """
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            continue
        handler.setLevel(max(handler.level, logging.WARNING))
        handler.addFilter(_can_be_acted_on)


def _can_be_acted_on(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(OLD_NAMES)
