# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One of two processes that measure retrieval together on the CPU."""

import sys

import torch.distributed as dist

from mask_plugins.evaluation.metrics import RetrievalMetrics
from tests.evaluation.test_retrieval_metrics import embedded


def main():
    """``folder rank``"""
    folder, rank = sys.argv[1:]
    dist.init_process_group(
        'gloo', f'file://{folder}/rendezvous', rank=int(rank), world_size=2
    )
    samples = embedded()[:19]
    samples.append(samples[0])  # so that both ranks have as many
    metric = RetrievalMetrics()
    metric.process(None, samples[int(rank) :: 2])
    found = metric.evaluate(19)
    print(f'recall {found["retrieval/recall@1"]:.6f}')
    print(f'queries {found["retrieval/queries"]}', flush=True)


if __name__ == '__main__':
    main()
