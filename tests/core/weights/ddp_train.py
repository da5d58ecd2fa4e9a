# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One of two processes that train one masked model on the CPU."""

import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tests.core.weights import nets


def main():
    """``folder rank``"""
    folder, rank = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo', f'file://{folder}/rendezvous', rank=rank, world_size=2
    )
    for kind in ('score', 'soft'):
        torch.save(train(kind, rank), f'{folder}/{kind}{rank}.pth')
    dist.destroy_process_group()


def train(kind, rank):
    """Three steps on half of the batch; the state."""
    model = nets.masked_small(kind, seed=rank).eval()
    ddp = DistributedDataParallel(model)  # rank 0's values go to all
    half = nets.small_input(4)[rank::2]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.02, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        # Gradients are averaged over processes, the loss is a sum.
        (2 * ddp(half).square().sum()).backward()
        optimizer.step()
    return model.state_dict()


if __name__ == '__main__':
    main()
