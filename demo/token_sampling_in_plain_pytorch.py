# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Patch sampling in a transformer of your own, with torch alone.

The core knows no framework: a schedule is a function of the iteration, a
score says which tokens are kept, a gather drops the rest. This script trains
a small ``torch.nn`` transformer on scikit-learn's digits so, in half a minute.

    python demo/token_sampling_in_plain_pytorch.py --epochs 20
"""

import argparse
import time


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--epochs', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before all that --help does not need

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from mask_plugins.core.schedules import CyclicSchedule
from mask_plugins.core.tokens import (
    gather_tokens,
    keep_count,
    score_magnitude,
    select_tokens,
)


class Net(nn.Module):
    """A transformer over the 64 pixels of a digit."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(1, 64)
        self.position = nn.Parameter(torch.randn(64, 64) * 0.5)
        layer = nn.TransformerEncoderLayer(
            64, 4, 128, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, 3, enable_nested_tensor=False
        )
        self.head = nn.Linear(64, 10)
        self.drop_ratio = 0.0

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """``(B, 64)`` pixels in 0..1 to ``(B, 10)`` logits."""
        x = self.embed(pixels[..., None]) + self.position  # B, P, C
        if self.drop_ratio:
            scores = score_magnitude(pixels[..., None])  # the ink
            count = keep_count(64, self.drop_ratio, num_prefix_tokens=0)
            x = gather_tokens(x, select_tokens(scores, count, 0))
        return self.head(self.encoder(x).mean(dim=1))


def main(args: argparse.Namespace) -> None:
    """Train, printing accuracy and time per epoch."""
    torch.manual_seed(args.seed)

    digits = load_digits()
    x = torch.from_numpy(digits.data).float() / 16
    y = torch.from_numpy(digits.target)
    order = torch.randperm(len(x))
    train, test = order[360:], order[:360]

    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    iters = len(train) // 64
    schedule = CyclicSchedule(0.8, 0.0, quantum=0.2, plateau='end')
    schedule = schedule.resolve(args.epochs * iters, iters)
    for epoch in range(args.epochs):
        begin = time.perf_counter()
        for i, batch in enumerate(train[torch.randperm(len(train))].split(64)):
            net.drop_ratio = schedule.value(epoch * iters + min(i, iters - 1))
            loss = F.cross_entropy(net(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        net.drop_ratio = 0.0
        with torch.no_grad():
            right = (net(x[test]).argmax(1) == y[test]).float().mean()
        seconds = time.perf_counter() - begin
        print(f'epoch {epoch}: top-1 {100 * right:.1f} %, {seconds:.1f} s')


if __name__ == '__main__':
    main(ARGS)
