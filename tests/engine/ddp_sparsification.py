# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One of two processes that find and train a ticket together on the CPU."""

import sys

import torch
import torch.distributed as dist
from mmengine.config import Config

from mask_plugins.engine.hooks import ContinuousSparsificationHook
from tests.engine.masked_toys import Soft
from tests.engine.toys import build_runner


def train(folder, find_unused):
    hook = ContinuousSparsificationHook(
        rounds=2, epochs_per_round=2, ticket_epochs=2, rewind_epoch=1
    )
    wrapper = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        find_unused_parameters=find_unused,
    )
    runner = build_runner(
        folder,
        hooks=[hook],
        epochs=6,
        model=Soft,
        launcher='pytorch',
        cfg=Config(dict(model_wrapper_cfg=wrapper)),
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
    )
    runner.train()
    return runner.model.module.state_dict()


def main():
    """``folder rank``"""
    folder, rank = sys.argv[1:]
    dist.init_process_group(
        'gloo', f'file://{folder}/rendezvous', rank=int(rank), world_size=2
    )
    try:
        train(f'{folder}/refused', find_unused=False)
    except ValueError as error:
        print(error, flush=True)
    state = train(f'{folder}/run', find_unused=True)
    for key, value in state.items():
        both = [torch.empty_like(value) for _ in range(2)]
        dist.all_gather(both, value)
        assert torch.equal(*both), key
    assert state['linear.0.weight_mask.ticket_flag']
    print('equal', flush=True)


if __name__ == '__main__':
    main()
