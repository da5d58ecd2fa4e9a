# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Memory, open files and threads of long runs and streams do not grow."""

import gc
import os
import threading

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from mask_plugins.core.patches import (
    StreamBinder,
    StreamState,
    apply_patch_gates,
)
from mask_plugins.engine.hooks import (
    DivergenceHook,
    PreemptionHook,
    TrainLogHook,
)
from tests.engine.toys import build_runner


def state():
    """kB of memory in use, open files, threads."""
    gc.collect()
    with open('/proc/self/statm') as file:
        pages = int(file.read().split()[1])
    files = len(os.listdir('/proc/self/fd'))
    return [
        pages * os.sysconf('SC_PAGE_SIZE') / 1024,
        files,
        threading.active_count(),
    ]


class Measure(Hook):
    """Note the state every so often."""

    def __init__(self, every):
        self.every, self.seen = every, []

    def after_train_iter(self, runner, *args, **kwargs):
        if (runner.iter + 1) % self.every == 0:
            self.seen.append([runner.iter + 1, *state()])


def growth(seen):
    """kB per step after a third of them; files and threads gained since."""
    seen = np.array(seen[len(seen) // 3 :], float)
    slope = np.polyfit(seen[:, 0], seen[:, 1], 1)[0]
    return slope, *(seen[-1, 2:] - seen[0, 2:])


def run(folder, epochs, every):
    measure = Measure(every)
    build_runner(
        folder,
        hooks=[measure, DivergenceHook(), PreemptionHook(), TrainLogHook()],
        epochs=epochs,
        interval=300,
        checkpoint=dict(interval=300, max_keep_ckpts=2),
    ).train()
    return growth(measure.seen)


def stream(frames, every):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    apply_patch_gates(net, 'threshold', place='conv', patch_size=4)
    binder, kept, seen = StreamBinder(net.eval()), StreamState(), []
    frame = torch.rand(1, 3, 16, 16)
    for number in range(1, frames + 1):
        frame = frame.clone()
        frame[..., number % 16, :] = torch.rand(3, 16)
        with torch.no_grad(), binder.bind([kept]):
            net(frame)
        if number % every == 0:
            seen.append([number, *state()])
    return growth(seen)


def test_a_sample(tmp_path):
    for _, files, threads in (run(tmp_path, 40, 20), stream(200, 20)):
        assert files <= 0
        assert threads <= 0


@pytest.mark.reliability
def test_20000_iterations(tmp_path, figures):
    slope, files, threads = run(tmp_path, 6667, 500)
    figures['B of memory per iteration'] = round(slope * 1024)
    assert slope < 0.1
    assert files <= 0
    assert threads <= 0


@pytest.mark.reliability
def test_10000_frames(figures):
    slope, files, threads = stream(10_000, 250)
    figures['B of memory per frame'] = round(slope * 1024)
    assert slope < 0.1
    assert files <= 0
    assert threads <= 0
