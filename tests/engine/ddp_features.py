# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One of two processes that test features together on the CPU."""

import sys

import torch
import torch.distributed as dist

from tests.engine.feature_runs import build
from tests.engine.test_feature_hook import HOOK, KNN, RANKME, SELF


def main():
    """``folder rank``"""
    folder, rank = sys.argv[1:]
    dist.init_process_group(
        'gloo', f'file://{folder}/rendezvous', rank=int(rank), world_size=2
    )
    runner = build(
        folder,
        [HOOK],
        [RANKME, KNN, SELF],
        launcher='pytorch',
        # 25 samples each, in batches of 16; 50 in one process.
        model_wrapper_cfg=dict(
            type='MMDistributedDataParallel', device_ids=None
        ),
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
    )
    weights = torch.load(f'{folder}/weights.pth')
    runner.model.module.load_state_dict(weights)
    torch.save(runner.test(), f'{folder}/metrics_{rank}.pth')


if __name__ == '__main__':
    main()
