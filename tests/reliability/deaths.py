# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Kill this process at a chosen moment of its run."""

import multiprocessing.process
import os
import signal
import threading

from mmengine.hooks import Hook

from mask_plugins.registry import HOOKS


@HOOKS.register_module(force=True)
class DeathHook(Hook):
    """Send this process a signal the n-th time that a moment is reached.

    Args:
        moment (str): 'iteration', 'validation', 'save' (before or after a
            file of the run is synced, renamed or removed), 'worker' (a
            worker has just been started) or 'time' (in milliseconds).
        count (int): Which time.
        name (str): Of the signal.
    """

    priority = 'LOWEST'

    def __init__(self, moment, count, name='SIGKILL'):
        self.moment, self.left = moment, count
        self.signal = signal.Signals[name]

    def _reach(self, moment):
        if moment == self.moment:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), self.signal)

    def before_train(self, runner):
        if self.moment == 'save':
            for name in ('fsync', 'replace', 'remove'):
                self._watch(os, name)
        elif self.moment == 'worker':
            self._watch(multiprocessing.process.BaseProcess, 'start')
        elif self.moment == 'time':
            args = (os.getpid(), self.signal)
            timer = threading.Timer(self.left / 1000, os.kill, args)
            timer.daemon = True
            timer.start()

    def _watch(self, owner, name):
        function = getattr(owner, name)

        def watched(*args, **kwargs):
            if self.moment == 'save':
                self._reach(self.moment)
            result = function(*args, **kwargs)
            self._reach(self.moment)
            return result

        setattr(owner, name, watched)

    def after_train_iter(self, runner, *args, **kwargs):
        self._reach('iteration')

    def after_val_iter(self, runner, *args, **kwargs):
        self._reach('validation')
