# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What a teacher, masked features, an average and RankMe cost."""

import copy
from typing import Callable, Dict, List

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
from mask_plugins.utils.timing import Case, synchronize, time_interleaved

from .statistics import machine, ratios, spread, spread_ms, target
from .timer import Timer

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


class ReferenceModelBenchmark:
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
        **timing: See :class:`Timer`.

    Raises:
        TypeError, ValueError: If a size is too small or not an int.
    """

    def __init__(
        self,
        channels: int = 40,
        batch_size: int = 128,
        rows: int = 25_600,
        dims: int = 512,
        svd: bool = True,
        **timing,
    ) -> None:
        self.channels = check_int('channels', channels, 1)
        self.batch_size = check_int('batch_size', batch_size, 2)
        self.rows = check_int('rows', rows, 1)
        self.dims = check_int('dims', dims, 1)
        self.svd = svd
        self.time = Timer(**timing)
        self.device = self.time.options['device']

    def run(self) -> dict:
        """Measure.

        Returns:
            dict: Plain data: ``settings``, ``machine``, ``steps``, ``ema``,
            ``rankme`` and ``targets``.
        """
        result = dict(
            settings=dict(
                channels=self.channels,
                batch_size=self.batch_size,
                rows=self.rows,
                dims=self.dims,
                **self.time.options,
            ),
            machine=machine(self.device),
            steps=self._steps(),
            ema=self._ema(),
            rankme=self._rankme(),
        )
        result['targets'] = list(self._targets(result))
        return result

    # ---------------------------------------------------------------- steps
    def _steps(self) -> List[dict]:
        torch.manual_seed(self.time.options['seed'])
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
                to_ce=spread(ratios(seconds, times['CE'])),
            )
            for name, seconds in times.items()
        ]

    def network(self, method: str) -> nn.Module:
        """The classifier of one of :data:`METHODS`; its teacher has begun."""
        teacher, scope, masked = METHODS[method]
        head = dict(
            type='LinearClsHead', num_classes=10, in_channels=8 * self.channels
        )
        if masked is not None:
            kind = 'mask_plugins.MaskedFeatureHead'
            head = dict(type=kind, head=head, **masked)
        cfg = dict(
            type='ImageClassifier',
            backbone=dict(
                type='ResNet_CIFAR',
                depth=18,
                base_channels=self.channels,
                stem_channels=self.channels,
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
        torch.manual_seed(self.time.options['seed'])
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(cfg).to(self.device)
        if teacher is not None:
            model.teacher.update(model.student_network())
        model.train()
        return model

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

            def all_at_once(teacher=teacher, student=student) -> None:
                teacher.update(student)

            def one_by_one(loop=loop, student=student) -> None:
                loop.update_parameters(student)

            cases = dict(ours=Case(all_at_once), loop=Case(one_by_one))
            times = self.time(f'EMA of {name}', cases, more=3)
            row = dict(
                network=name,
                tensors=len(list(student.parameters())),
                ours_ms=spread_ms(times['ours']),
                loop_ms=spread_ms(times['loop']),
                to_loop=spread(ratios(times['ours'], times['loop'])),
            )
            if torch.device(self.device).type == 'cuda':
                row['launches'] = {k: _launches(c) for k, c in cases.items()}
            found.append(row)
        return found

    # --------------------------------------------------------------- RankMe
    def _rankme(self) -> dict:
        torch.manual_seed(self.time.options['seed'])
        # Singular values that fall like those of trained features.
        scale = torch.logspace(0, -4, self.dims)
        basis = torch.linalg.qr(torch.randn(self.dims, self.dims))[0]
        mix = (scale[:, None] * basis).to(self.device)
        found: Dict[str, float] = {}

        def rows(start: int) -> torch.Tensor:
            # Made for each call: they are not all in memory.
            count = min(1024, self.rows - start)
            generator = torch.Generator().manual_seed(start)
            noise = torch.randn(count, self.dims, generator=generator)
            return noise.to(self.device) @ mix

        def streamed() -> None:
            gram = 0
            for start in range(0, self.rows, 1024):
                part = rows(start).double()
                gram = gram + part.T @ part
            values = gram_singular_values(gram, self.rows)
            found['streamed'] = effective_rank(values)

        def full() -> None:
            starts = range(0, self.rows, 1024)
            found['svd'] = rankme(torch.cat([rows(s) for s in starts]))

        cases = dict(streamed=Case(streamed))
        if self.svd:
            cases['svd'] = Case(full)
        few = min(3, self.time.options['rounds'])
        self.time.log(f'RankMe of {self.rows} x {self.dims}')
        times = time_interleaved(cases, **dict(self.time.options, rounds=few))
        result = dict(
            values=found,
            seconds={name: spread(values) for name, values in times.items()},
        )
        if self.svd:
            result['to_svd'] = spread(ratios(times['streamed'], times['svd']))
            result['relative_error'] = abs(
                found['streamed'] / found['svd'] - 1
            )
        return result

    @staticmethod
    def _targets(result: dict):
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
