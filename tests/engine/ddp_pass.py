# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One of two processes that pre-train gates together on the CPU."""

import copy
import hashlib
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

ROOT = Path(__file__).parents[2]
CONFIG = (
    ROOT / 'configs' / 'pass' / 'pass-pretrain_resnet18_1xb8-6e_synthetic.py'
)


class Snapshot(Hook):
    """Keeps the weights as training finds them, drawn already."""

    def before_train(self, runner):
        """Copies the weights."""
        self.weights = copy.deepcopy(runner.model.module.state_dict())


def digest(weights):
    """A hash of weights, in the order of their names."""
    sha = hashlib.sha256()
    for key in sorted(weights):
        sha.update(weights[key].detach().numpy().tobytes())
    return sha.hexdigest()[:16]


def main():
    """``folder rank``"""
    folder, rank = sys.argv[1:]
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', f'file://{folder}/rendezvous', rank=int(rank), world_size=2
    )
    cfg = Config.fromfile(str(CONFIG))
    cfg.model.backbone.update(base_channels=8, stem_channels=8)
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.dataset.update(num_clips=16, clip_len=2)
    cfg.train_cfg.max_epochs = 2
    cfg.custom_hooks[-1].schedule.cooldown = 1
    cfg.launcher = 'pytorch'
    cfg.env_cfg.dist_cfg.backend = 'gloo'
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', device_ids=None
    )
    cfg.work_dir = f'{folder}/run'
    cfg.log_level = 'ERROR'
    runner = Runner.from_cfg(cfg)
    model = runner.model.module
    snapshot = Snapshot()
    runner.register_hook(snapshot)
    runner.train()
    before = snapshot.weights
    after = model.state_dict()
    moved = {key for key in after if not after[key].equal(before[key])}
    assert moved
    assert all('.gate.' in key for key in moved), moved
    gates = {key: after[key] for key in after if '.gate.' in key}
    print(f'gates {digest(gates)}', flush=True)


if __name__ == '__main__':
    main()
