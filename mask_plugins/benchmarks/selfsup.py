# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What masks without labels cost: SwAV, Sinkhorn, k-NN, many experts."""

from dataclasses import dataclass
from typing import Dict, Iterator, List

import torch
from mmengine.config import Config
from torch import Tensor

from mask_plugins.apis.model import config_scope
from mask_plugins.core.weights import (
    apply_adapters,
    load_masks,
    named_masks,
    pack_masks,
)
from mask_plugins.functional.knn import knn_predict
from mask_plugins.functional.sinkhorn import sinkhorn
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_choice, check_int
from mask_plugins.utils.timing import Case, peak_memory

from .benchmark import Benchmark
from .mask_adapters import measure_adapters
from .statistics import spread, spread_ms, target
from .weight_mask_costs import held_bytes
from .weight_mask_steps import SCORE_RULES, SCORES, MaskStepBuilder

CHANNELS = dict(resnet18=512, resnet50=2048)
NUM_CROPS = [2, 4]
EXPERTS = 6
SWAP_MS = 5.0


def plain_sinkhorn(scores: Tensor, epsilon: float = 0.05) -> Tensor:
    """Three iterations as the paper writes them, without logarithms."""
    q = (scores / epsilon).exp().T  # KxB
    q = q / q.sum()
    for _ in range(3):
        q = q / q.sum(dim=1, keepdim=True) / len(q)
        q = q / q.sum(dim=0, keepdim=True) / q.shape[1]
    return (q * q.shape[1]).T


@dataclass
class SelfSupBenchmark(Benchmark):
    """Steps of SwAV, Sinkhorn, k-NN and batches of several experts.

    Masked SwAV is compared with the stock one whose network is fine-tuned:
    the same crops, the same optimizer.

    Args:
        arch (str): ``'resnet18'`` or ``'resnet50'``. Defaults to the latter.
        batch_size (int): Images per step. Defaults to 12.
        image_size (int): Pixels of the two large crops; the four small ones
            have half of it. Defaults to 112.
        prototypes (int): Defaults to 3000.
        samples (int): Of Sinkhorn, alone and with a queue of 3,840. Defaults
            to 512.
        queries, bank, dims (int): Of k-NN. Default to 10000, 50000 and 2048.
        **timing: See :class:`Benchmark`.

    Raises:
        TypeError, ValueError: If a network is unknown or a size too small.

    Examples:
        >>> SelfSupBenchmark(arch='resnet18', batch_size=4).image_size
        112
    """

    rounds: int = 5
    warmup: int = 1
    arch: str = 'resnet50'
    batch_size: int = 12
    image_size: int = 112
    prototypes: int = 3000
    samples: int = 512
    queries: int = 10000
    bank: int = 50000
    dims: int = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice('arch', self.arch, tuple(CHANNELS))
        check_int('image_size', self.image_size, 64)
        for name in ('prototypes', 'batch_size', 'samples', 'queries', 'bank'):
            check_int(name, getattr(self, name), 2)
        check_int('dims', self.dims, 1)

    def measure(self) -> dict:
        """``swav``, ``sinkhorn``, ``knn``, ``adapters`` and ``experts``."""
        result = dict(swav=self._swav(), sinkhorn=self._sinkhorn())
        result['knn'] = self._knn()
        return dict(result, **self._experts())

    def targets(self, result: dict) -> Iterator[dict]:
        """Of time and memory of a step, of k-NN and of a swap."""
        masked = result['swav'][1]
        yield target(
            'masked SwAV: step to stock SwAV with fine-tuning',
            masked['to_first']['median'],
            1.05,
        )
        yield target(
            'masked SwAV: extra bytes to scores and effective weights',
            masked['extra_bytes_per_weight'] / 8,
            1.1,
        )
        yield target(
            'k-NN: peak memory to that of all similarities',
            result['knn']['memory_mib'] / result['knn']['similarities_mib'],
            0.5,
        )
        swap = result['adapters']['swap_ms']['median']
        yield target(f'{self.arch}: swap of an adapter in ms', swap, SWAP_MS)

    # ---------------------------------------------------------------- parts
    def _swav(self) -> List[dict]:
        models, cases = {}, {}
        for kind in ('stock, fine-tuned', 'masked'):
            torch.manual_seed(self.seed)
            with config_scope(Config(dict(default_scope='mmpretrain'))):
                model = MODELS.build(self._config(kind == 'masked'))
            model.to(self.device).train()
            trained = [p for p in model.parameters() if p.requires_grad]
            optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.9)
            models[kind] = model, optimizer
            cases[kind] = Case(self._step(model, optimizer))
        times = self.time('SwAV', cases)
        count = sum(
            item.parameter.numel()
            for item in named_masks(models['masked'][0].backbone)
        )
        peaks = {
            kind: held_bytes(*models[kind])
            + 2**20 * peak_memory(case, self.device)
            for kind, case in cases.items()
        }
        rows = self._rows(times)
        for row, peak in zip(rows, peaks.values()):
            row['memory_mib'] = peak / 2**20
            extra = peak - peaks['stock, fine-tuned']
            row['extra_bytes_per_weight'] = extra / count
        return rows

    def _config(self, masked: bool) -> dict:
        channels = CHANNELS[self.arch]
        network = dict(type='ResNet', depth=int(self.arch[len('resnet') :]))
        counts = dict(num_prototypes=self.prototypes, num_crops=NUM_CROPS)
        if masked:
            return dict(
                type='mask_plugins.SwAV',
                backbone=dict(
                    type='mask_plugins.MaskedModel',
                    module=network,
                    rules=SCORE_RULES,
                    mask=dict(type='mask_plugins.ScoreMask', init=SCORES),
                ),
                neck=dict(
                    type='mask_plugins.ProjectionNeck', in_channels=channels
                ),
                head=dict(type='mask_plugins.SwAVHead', **counts),
            )
        return dict(
            type='SwAV',
            backbone=network,
            neck=dict(
                type='SwAVNeck',
                in_channels=channels,
                hid_channels=0,
                out_channels=128,
            ),
            head=dict(
                type='SwAVHead',
                loss=dict(type='SwAVLoss', feat_dim=128, **counts),
            ),
        )

    def _step(self, model, optimizer):
        generator = torch.Generator().manual_seed(self.seed)
        sizes = [self.image_size] * 2 + [self.image_size // 2] * 4
        crops = [
            torch.randn(self.batch_size, 3, px, px, generator=generator)
            for px in sizes
        ]
        crops = [crop.to(self.device) for crop in crops]

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            model.loss(crops, [])['loss'].backward()
            optimizer.step()

        return step

    def _sinkhorn(self) -> List[dict]:
        found = []
        for count in (self.samples, self.samples + 3840):
            scores = torch.randn(count, self.prototypes, device=self.device)
            scores = scores.clamp(-1, 1)
            cases = dict(
                plain=Case(lambda s=scores: plain_sinkhorn(s)),
                ours=Case(lambda s=scores: sinkhorn(s)),
            )
            times = self.time(f'Sinkhorn of {count} samples', cases)
            for row, case in zip(self._rows(times), cases.values()):
                memory = peak_memory(case, self.device)
                found.append(dict(row, samples=count, memory_mib=memory))
        return found

    def _knn(self) -> dict:
        query = torch.randn(self.queries, self.dims, device=self.device)
        bank = torch.randn(self.bank, self.dims, device=self.device)
        labels = torch.arange(self.bank, device=self.device) % 100
        case = Case(lambda: knn_predict(query, bank, labels))
        times = self.time('k-NN', dict(ours=case), rounds=1, warmup=0)
        return dict(
            self._rows(times)[0],
            memory_mib=peak_memory(case, self.device),
            similarities_mib=self.queries * self.bank * 4 / 2**20,
        )

    def _experts(self) -> dict:
        builder = MaskStepBuilder(self.device, seed=self.seed)
        base = builder.network(self.arch).eval()
        masked = builder.network(self.arch, 'score').eval()
        adapters = measure_adapters(
            base, masked, lambda cases: self.time('adapters', cases)
        )
        adapter = pack_masks(masked)
        for index in range(EXPERTS):
            load_masks(base, adapter, f'expert {index}', activate=False)
        images, _ = builder.batch(self.batch_size, self.image_size)
        network = builder.network(self.arch).eval()
        cases = {
            'one network': builder.inference(lambda: network(images), list)
        }
        for count in (1, 2, EXPERTS):
            names = [
                f'expert {index % count}' for index in range(self.batch_size)
            ]
            cases[f'{count} experts'] = builder.inference(
                lambda names=names: apply_adapters(base, images, names), list
            )
        times = self.time('experts', cases)
        rows = self._rows(times)
        for row in rows:
            row['images_per_s'] = 1000 * self.batch_size / row['ms']['median']
        return dict(adapters=adapters, experts=rows)

    @staticmethod
    def _rows(times: Dict) -> List[dict]:
        first = next(iter(times.values()))
        return [
            dict(kind=kind, ms=spread_ms(x), to_first=spread(x / first))
            for kind, x in times.items()
        ]
