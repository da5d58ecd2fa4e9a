# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One of two processes that train with a teacher together on the CPU."""

import sys

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.runner import Runner

from tests.engine.resume_runs import config
from tests.engine.teacher_runs import reference

TEACHERS = dict(
    snapshot=dict(type='SnapshotTeacher', begin=1),
    ema=dict(type='EMATeacher', momentum=0.2, begin=1),
)


def equal(state):
    """Whether the other process has the same bits."""
    flat = torch.cat([v.double().reshape(-1) for v in state.values()])
    found = [torch.empty_like(flat) for _ in range(2)]
    dist.all_gather(found, flat)
    return torch.equal(*found)


def main():
    """``folder rank kind``"""
    folder, rank, kind = sys.argv[1:]
    dist.init_process_group(
        'gloo', f'file://{folder}/rendezvous', rank=int(rank), world_size=2
    )
    # The token is not used before the teacher begins: no parameter may be
    # without a gradient all the same.
    override = reference(TEACHERS[kind], dict(mask_mode='a', inv_mode='v1'))
    override.update(
        launcher='pytorch',
        model_wrapper_cfg=dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=False,
        ),
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
    )
    torch.set_num_threads(1)
    runner = Runner.from_cfg(
        Config(config(f'{folder}/run', override=override))
    )
    runner.train()
    model = runner.model.module
    assert model.teacher.active
    statistics = {
        k: v for k, v in model.backbone.state_dict().items() if 'mean' in k
    }
    print(
        f'teachers equal {equal(model.teacher.state_dict())}, '
        f'batch statistics {equal(statistics)}',
        flush=True,
    )
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
