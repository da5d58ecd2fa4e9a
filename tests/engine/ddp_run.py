# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One of two processes that train toys together on the CPU."""

import os
import signal
import sys

import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook

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


def train(work_dir, hooks=(), resume=False):
    """2 iterations per epoch and rank; 11 samples to validate."""
    runner = build_runner(
        work_dir,
        hooks=[SeedHook(), TrainLogHook(), EMAHook(), *hooks],
        checkpoint=dict(save_best='toy/acc', max_keep_ckpts=2),
        epochs=3,
        dataset=dict(type=ToyDataset, pipeline=PIPELINE),
        val_dataset=dict(type=ToyDataset, indices=11),
        model=Scores,
        metric=dict(values=(1.0,)),
        launcher='pytorch',
        cfg=Config(
            dict(
                model_wrapper_cfg=dict(
                    type='MMDistributedDataParallel', device_ids=None
                )
            )
        ),
        resume=resume,
        randomness=dict(seed=3, diff_rank_seed=True),
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
    )
    runner.train()
    # All ranks took the same way.
    steps = [None, None]
    dist.all_gather_object(steps, (runner.iter, runner._resume))
    assert steps[0] == steps[1]


def main():
    """``folder rank step``"""
    folder, rank, step = sys.argv[1:]
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/store_{step}',
        rank=int(rank),
        world_size=2,
    )
    if step == 'whole':
        train(f'{folder}/whole')
    elif step == 'start':
        train(f'{folder}/whole')
        train(f'{folder}/killed', hooks=[KillHook()])
    elif step == 'resume':
        train(f'{folder}/killed', resume=True)
    elif step == 'stop':
        train(f'{folder}/killed', hooks=[PreemptionHook(), SignalHook()])
    else:
        train(f'{folder}/killed', hooks=[PreemptionHook()])
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
