# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One of two processes that train masked toys together on the CPU."""

import sys

import torch.distributed as dist
from mmengine.config import Config

from mask_plugins.engine.hooks import MaskReportHook
from tests.engine.masked_toys import Hidden
from tests.engine.toys import build_runner


def main():
    """``folder rank``"""
    folder, rank = sys.argv[1:]
    dist.init_process_group(
        'gloo', f'file://{folder}/rendezvous', rank=int(rank), world_size=2
    )
    runner = build_runner(
        folder,
        hooks=[MaskReportHook()],
        model=Hidden,
        metric=dict(type='mask_plugins.MaskDensity'),
        launcher='pytorch',
        cfg=Config(
            dict(
                model_wrapper_cfg=dict(
                    type='MMDistributedDataParallel', device_ids=None
                )
            )
        ),
        env_cfg=dict(dist_cfg=dict(backend='gloo')),
    )
    runner.train()
    metrics = runner.val_loop.run()
    print(f'density {metrics["mask/density"]}', flush=True)


if __name__ == '__main__':
    main()
