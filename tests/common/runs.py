# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Watch, stop and look at runs of a toy runner."""

import logging
from pathlib import Path

import torch
from mmengine.hooks import Hook


class Stop(Exception):
    """Ends a run as a kill would."""


class StopHook(Hook):
    """Raise :class:`Stop` the n-th time that a hook point is reached."""

    def __init__(self, point, count, priority='NORMAL'):
        self.left = count
        self.priority = priority

        def hit(runner, *args, **kwargs):
            self.left -= 1
            if self.left == 0:
                self.act(runner)

        setattr(self, point, hit)

    def act(self, runner):
        raise Stop


class Validations(Hook):
    """At which iterations were there validations?"""

    def __init__(self):
        self.at = []

    def after_val_epoch(self, runner, metrics=None):
        self.at.append(runner.iter)


class Messages(logging.Handler):
    """What a runner logs."""

    def __init__(self, runner):
        super().__init__()
        self.text = ''
        runner.logger.addHandler(self)

    def emit(self, record):
        self.text += record.getMessage() + '\n'


def load(path):
    return torch.load(path, weights_only=True)


def names(folder, pattern='*.pth'):
    """Names of the files in a folder, sorted."""
    return sorted(path.name for path in Path(folder).glob(pattern))


def train(runner):
    """Train; returns what was logged."""
    messages = Messages(runner)
    runner.train()
    return messages.text
