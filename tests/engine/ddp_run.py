# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Toys that two processes train together on the CPU."""

import os
import shutil
import signal

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EMAHook, Hook
from torch import nn
from torch.nn import functional as F

from mask_plugins.engine.checkpoint.run_state import EXIT_PREEMPTED
from mask_plugins.engine.hooks import (
    PreemptionHook,
    SeedHook,
    TrainLogHook,
)
from tests.engine.test_seed_hook import PIPELINE
from tests.engine.toys import Scores, ToyDataset, build_runner


class KillHook(Hook):
    """Kill both processes in the second epoch, after its checkpoint."""

    def before_val(self, runner):
        if runner.iter == 4:
            dist.barrier()
            os.kill(os.getpid(), signal.SIGKILL)


class SignalHook(Hook):
    """Tell one of the two processes to stop, in the second epoch."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2 and dist.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)


class BatchNormScores(Scores):
    """BatchNorm, and a teacher whose statistics decide on the targets."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm1d(1)
        self.teacher = nn.BatchNorm1d(1, affine=False)
        self.register_buffer('seen', torch.zeros((), dtype=torch.long))

    def forward(self, x, y, mode='tensor', **kwargs):
        x = torch.as_tensor(x, dtype=torch.float32)[:, None]  # B, 1
        out = self.linear(self.drop(self.bn(x)))
        if mode == 'loss':
            self.seen += int(x.sum())  # another number on each rank
            self.teacher(x)
            mean, var = self.teacher.running_mean, self.teacher.running_var
            target = F.batch_norm(x, mean.clone(), var.clone())
            return dict(loss=(out - target).square().mean())
        samples = Scores.forward(self, x[:, 0], y, mode)
        for sample, value in zip(samples, out):
            sample.score = value.item()
        return samples


class MeanScore(BaseMetric):
    """What the model says of the samples, each counted once."""

    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results += [sample['score'] for sample in data_samples]

    def compute_metrics(self, results):
        return dict(acc=1.0, score=sum(results) / len(results))


def build(work_dir, hooks=(), resume=False, average=False, **more):
    """2 iterations per epoch and rank; 11 samples to validate."""
    return build_runner(
        work_dir,
        hooks=[
            SeedHook(),
            TrainLogHook(),
            EMAHook(momentum=0.3, update_buffers=average),
            *hooks,
        ],
        checkpoint=dict(save_best='toy/acc', max_keep_ckpts=2),
        epochs=3,
        dataset=dict(type=ToyDataset, pipeline=PIPELINE),
        val_dataset=dict(type=ToyDataset, indices=11),
        model=BatchNormScores,
        metric=dict(type=MeanScore),
        resume=resume,
        **more,
    )


def train(work_dir, *hooks, **kwargs):
    runner = build(
        work_dir,
        hooks,
        launcher='pytorch',
        cfg=Config(
            dict(
                model_wrapper_cfg=dict(
                    type='MMDistributedDataParallel',
                    device_ids=None,
                    broadcast_buffers=False,
                )
            )
        ),
        randomness=dict(seed=3, diff_rank_seed=True),
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
        **kwargs,
    )
    runner.train()
    # All ranks took the same way, and have the same model.
    state = {k: v.tolist() for k, v in runner.model.state_dict().items()}
    ranks = [None, None]
    dist.all_gather_object(ranks, (runner.iter, runner._resume, state))
    assert ranks[0] == ranks[1]


def start(folder, average):
    """A whole run, one that is stopped and restarted, one that is killed."""
    train(f'{folder}/whole', average=average)
    hooks = [PreemptionHook(), SignalHook()]
    with pytest.raises(SystemExit) as end:
        train(f'{folder}/stopped', *hooks, average=average)
    assert end.value.code == EXIT_PREEMPTED
    if dist.get_rank() == 0:
        shutil.copytree(f'{folder}/stopped', f'{folder}/inside')
    dist.barrier()
    train(f'{folder}/stopped', PreemptionHook(), average=average)
    train(f'{folder}/killed', KillHook(), average=average)


def resume(folder, average):
    train(f'{folder}/killed', resume=True, average=average)
