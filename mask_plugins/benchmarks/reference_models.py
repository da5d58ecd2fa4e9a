# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a teacher, masked features, an average and RankMe cost."""

import copy
from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, Iterator, List

import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import DefaultScope
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.structures import DataSample
from torch import nn

from mask_plugins.functional.rankme import (
    effective_rank,
    gram_singular_values,
    rankme,
)
from mask_plugins.models.teachers import EMATeacher
from mask_plugins.registry import MODELS
from mask_plugins.utils.checks import check_int
from mask_plugins.utils.timing import Case, synchronize

from .benchmark import Benchmark
from .statistics import spread, spread_ms, target

SNAPSHOT = dict(type='mask_plugins.SnapshotTeacher')
EMA = dict(type='mask_plugins.EMATeacher', momentum=0.2)
# name -> teacher, scope, options of the masked-feature head
METHODS: Dict[str, tuple] = {
    'CE': (None, '', None),
    'KD': (SNAPSHOT, 'whole', None),
    'KD, head': (SNAPSHOT, 'head', None),
    'KD-EMA': (EMA, 'whole', None),
    'masked': (SNAPSHOT, 'whole', dict(inv_mode='none')),
    'masked + inverse': (SNAPSHOT, 'whole', dict(inv_mode='add')),
    'masked + inverse, head': (SNAPSHOT, 'head', dict(inv_mode='add')),
}
LIMITS = {'KD': 1.40, 'masked + inverse, head': 1.03}


@dataclass
class ReferenceModelBenchmark(Benchmark):
    """Training steps of the methods, interleaved; EMA; RankMe.

    The network is the ResNet-18 for CIFAR of masked-analysis; a step is
    forward, backward, SGD and, if the teacher follows steps, its update.

    Args:
        channels (int): Channels of its first stage. Defaults to 40.
        batch_size (int): Images of 32 x 32 pixels. Defaults to 128.
        rows, dims (int): Size of the features for RankMe. Default to 25,600
            and 512.
        svd (bool): Compare RankMe with a full SVD, which needs all rows in
            memory. Defaults to True.
        **timing: See :class:`Benchmark`.

    Raises:
        TypeError, ValueError: If a size is too small or not an int.
    """

    channels: int = 40
    batch_size: int = 128
    rows: int = 25_600
    dims: int = 512
    svd: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int('batch_size', self.batch_size, 2)
        for name in ('channels', 'rows', 'dims'):
            check_int(name, getattr(self, name), 1)

    def measure(self) -> dict:
        """``steps``, ``ema`` and ``rankme``."""
        return dict(
            steps=self._steps(), ema=self._ema(), rankme=self._rankme()
        )

    # ---------------------------------------------------------------- steps
    def _steps(self) -> List[dict]:
        size = (self.batch_size, 3, 32, 32)
        images = torch.randn(size, device=self.device)
        samples = [
            DataSample().set_gt_label(i % 10).to(self.device)
            for i in range(self.batch_size)
        ]
        cases = {
            name: Case(self._step(name, images, samples)) for name in METHODS
        }
        times = self.time('training', cases)
        return [
            dict(
                method=name,
                ms=spread_ms(seconds),
                to_ce=spread(seconds / times['CE']),
            )
            for name, seconds in times.items()
        ]

    def network(self, method: str) -> nn.Module:
        """The classifier of one of :data:`METHODS`; its teacher has begun."""
        teacher, scope, masked = METHODS[method]
        width = self.channels
        head = dict(
            type='LinearClsHead', num_classes=10, in_channels=8 * width
        )
        if masked is not None:
            kind = 'mask_plugins.MaskedFeatureHead'
            head = dict(type=kind, head=head, **masked)
        cfg = dict(
            type='ImageClassifier',
            backbone=dict(
                type='ResNet_CIFAR',
                depth=18,
                base_channels=width,
                stem_channels=width,
            ),
            neck=dict(type='GlobalAveragePooling'),
            head=head,
        )
        if teacher is not None:
            cfg.update(
                type='mask_plugins.ReferenceClassifier',
                teacher=copy.deepcopy(teacher),
                scope=scope,
            )
        torch.manual_seed(self.seed)
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(cfg).to(self.device)
        if teacher is not None:
            model.teacher.update(model.student_network())
        return model.train()

    def _step(self, method: str, images, samples) -> Callable[[], None]:
        model = self.network(method)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=1e-4, momentum=0.9)
        follows = method != 'CE' and model.teacher.follows_steps

        def step() -> None:
            optimizer.zero_grad()
            loss, _ = model.parse_losses(model.loss(images, samples))
            loss.backward()
            optimizer.step()
            if follows:
                model.teacher.update(model.student_network())

        return step

    # -------------------------------------------------------------- average
    def _ema(self) -> List[dict]:
        found = []
        networks = {
            'ResNet-18': self.network('CE').backbone,
            'ViT-S': VisionTransformer('deit-small').to(self.device),
        }
        for name, student in networks.items():
            teacher = EMATeacher(momentum=0.2)
            teacher.attach(student)
            loop = ExponentialMovingAverage(student, momentum=0.2)
            cases = dict(
                ours=Case(partial(teacher.update, student)),
                loop=Case(partial(loop.update_parameters, student)),
            )
            times = self.time(f'EMA of {name}', cases, more=3)
            row = dict(
                network=name,
                tensors=len(list(student.parameters())),
                ours_ms=spread_ms(times['ours']),
                loop_ms=spread_ms(times['loop']),
                to_loop=spread(times['ours'] / times['loop']),
            )
            if torch.device(self.device).type == 'cuda':
                row['launches'] = {k: _launches(c) for k, c in cases.items()}
            found.append(row)
        return found

    # --------------------------------------------------------------- RankMe
    def _rankme(self) -> dict:
        torch.manual_seed(self.seed)
        # Singular values that fall like those of trained features.
        scale = torch.logspace(0, -4, self.dims)
        basis = torch.linalg.qr(torch.randn(self.dims, self.dims))[0]
        mix = (scale[:, None] * basis).to(self.device)
        found: Dict[str, float] = {}

        def rows() -> Iterator[torch.Tensor]:
            # Made for each call: they are not all in memory.
            for start in range(0, self.rows, 1024):
                size = min(1024, self.rows - start), self.dims
                generator = torch.Generator().manual_seed(start)
                noise = torch.randn(size, generator=generator)
                yield noise.to(self.device) @ mix

        def streamed() -> None:
            gram = sum(
                part.T @ part for part in map(torch.Tensor.double, rows())
            )
            values = gram_singular_values(gram, self.rows)
            found['streamed'] = effective_rank(values)

        def full() -> None:
            found['svd'] = rankme(torch.cat(list(rows())))

        cases = dict(streamed=Case(streamed))
        if self.svd:
            cases['svd'] = Case(full)
        what = f'RankMe of {self.rows} x {self.dims}'
        times = self.time(what, cases, rounds=min(3, self.rounds))
        result = dict(
            values=found,
            seconds={name: spread(values) for name, values in times.items()},
        )
        if self.svd:
            error = abs(found['streamed'] / found['svd'] - 1)
            to_svd = spread(times['streamed'] / times['svd'])
            result.update(to_svd=to_svd, relative_error=error)
        return result

    def targets(self, result: dict) -> Iterator[dict]:
        """Of the methods, the average and RankMe."""
        for row in result['steps']:
            if row['method'] in LIMITS:
                name = f'{row["method"]}: training step to CE'
                limit = LIMITS[row['method']]
                yield target(name, row['to_ce']['median'], limit)
        gpu = result['machine']['gpu'] is not None
        for row in result['ema']:
            name = f'EMA of {row["network"]}: time to the loop of mmengine'
            limit = 0.2 if gpu else 1.0
            # On a CPU both are bound by memory: two decimals.
            yield target(name, round(row['to_loop']['median'], 2), limit)
        found = result['rankme']
        if 'to_svd' in found:
            median = found['to_svd']['median']
            yield target('RankMe: time to that of a full SVD', median, 1.2)
            error = found['relative_error']
            yield target('RankMe: relative error', error, 1e-6)


def _launches(case: Case) -> int:
    """Kernels that one call starts."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        case.step()
        synchronize('cuda')
    return sum(
        event.count
        for event in profile.key_averages()
        if not event.key.startswith('cuda')
    )
