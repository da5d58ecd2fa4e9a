# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What patch sampling saves, and what it costs."""

import contextlib
import datetime
import os
import platform
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones import VisionTransformer
from torch import Tensor, nn

from mask_plugins.core.schedules import CyclicSchedule
from mask_plugins.core.tokens import (
    gather_position_bias,
    keep_count,
    relative_position_index,
    select_index_pairs,
)
from mask_plugins.models.backbones import PSSVisionTransformer
from mask_plugins.models.backbones.token_sampler import sample_tokens

from .timing import Case, Spread, peak_memory, time_interleaved

NUM_CLASSES = 1000
# ImageNet in batches of 512: the published epoch.
EPOCH_ITERS = 2502
GATHER_DROP = 0.4


class GivenBias(nn.Module):
    """Attention whose position bias is there already, as a parameter.

    Attention then does all it does under a bias (and its gradient), less the
    look-up: the difference of two steps is what the look-up costs.
    """

    def __init__(self, attn: nn.Module, batch: int, tokens: int) -> None:
        super().__init__()
        self.attn = attn
        # heads outermost in memory, as the look-up writes it
        bias = torch.zeros(attn.num_heads, batch, tokens, tokens)
        self.bias = nn.Parameter(bias.transpose(0, 1))

    def forward(self, x: Tensor, *_) -> Tensor:
        """As :class:`PSSAttention`."""
        return self.attn(x, None, self.bias)


class PSSBenchmark:
    """Step times of PSS, interleaved in one process, and their ratios.

    A training step is forward, cross entropy and backward; the optimizer is
    left out, since its time depends on no token. The MAC-ideal of a ratio is
    the time at drop 0, scaled by the multiply-accumulates of the blocks:
    :math:`f(n) = 12 n C^2 + 2 n^2 C` over n tokens of width C.

    Args:
        archs (Sequence[str]): Names of ``PSSVisionTransformer``'s sizes.
        image_size (int): Pixels. Defaults to 224.
        batch_size (int): Defaults to 8.
        drop_ratios (Sequence[float]): 0 is always measured.
        modes (Sequence[str]): Of ``'train'`` and ``'infer'``.
        layers (int, optional): Blocks to build, None for all of the size's.
            Defaults to None.
        gather_batch_size (int): Batch of the bias look-up's measurements at
            ViT-B width; 0 leaves them out. Defaults to 16.
        gather_layers (int, optional): Blocks of those measurements, None for
            ``layers``. Defaults to None.
        rounds, iters, warmup, seed, clock: See :func:`time_interleaved`.
        device (str): Defaults to 'cpu'.
        dtype (str): ``'fp32'``, or ``'bf16'`` or ``'fp16'`` by autocast.
            Defaults to 'fp32'.
        compiled (bool): Use ``torch.compile``. Defaults to False.
        log (Callable): Where progress goes. Defaults to ``print``.
    """

    PATCH_SIZE = 16
    DTYPES = dict(fp32=None, bf16=torch.bfloat16, fp16=torch.float16)
    MODES = ('train', 'infer')

    def __init__(
        self,
        archs: Sequence[str] = ('small', 'base'),
        image_size: int = 224,
        batch_size: int = 8,
        drop_ratios: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8),
        modes: Sequence[str] = MODES,
        layers: Optional[int] = None,
        gather_batch_size: int = 16,
        gather_layers: Optional[int] = None,
        rounds: int = 10,
        iters: int = 1,
        warmup: int = 2,
        seed: int = 0,
        clock: str = 'wall',
        device: str = 'cpu',
        dtype: str = 'fp32',
        compiled: bool = False,
        log: Callable[[str], None] = print,
    ) -> None:
        for arch in archs:
            if arch not in PSSVisionTransformer.arch_zoo:
                raise ValueError(
                    f'arch must be one of '
                    f'{tuple(PSSVisionTransformer.arch_zoo)}, got {arch!r}'
                )
        if dtype not in self.DTYPES:
            raise ValueError(
                f'dtype must be one of {tuple(self.DTYPES)}, got {dtype!r}'
            )
        if not modes or not set(modes) <= set(self.MODES):
            raise ValueError(
                f'modes must be of {self.MODES}, got {tuple(modes)}'
            )
        if batch_size < 1 or gather_batch_size < 0:
            raise ValueError(
                'batch_size must be at least 1 and gather_batch_size at '
                f'least 0, got {batch_size} and {gather_batch_size}'
            )
        if image_size < 2 * self.PATCH_SIZE or image_size % self.PATCH_SIZE:
            raise ValueError(
                'image_size must be a multiple of the patch size '
                f'{self.PATCH_SIZE} and at least twice it, got {image_size}'
            )
        for name, value in (
            ('layers', layers),
            ('gather_layers', gather_layers),
        ):
            if value is not None and value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}')
        if clock == 'cpu' and torch.device(device).type != 'cpu':
            raise ValueError(
                f"clock='cpu' says nothing about device={device!r}"
            )
        self.tokens = (image_size // self.PATCH_SIZE) ** 2 + 1
        self.drop_ratios = sorted({0.0, *map(float, drop_ratios)})
        self.counts = {
            ratio: keep_count(self.tokens, ratio) for ratio in self.drop_ratios
        }
        self.archs = tuple(archs)
        self.image_size = image_size
        self.batch_size = batch_size
        self.modes = tuple(modes)
        self.layers = layers
        self.gather_batch_size = gather_batch_size
        self.gather_layers = gather_layers or layers
        self.timing = dict(
            rounds=rounds,
            iters=iters,
            warmup=warmup,
            seed=seed,
            clock=clock,
            device=device,
        )
        self.seed = seed
        self.device = device
        self.dtype = dtype
        self.compiled = compiled
        self.log = log

    # ------------------------------------------------------------------ run
    def run(self) -> dict:
        """Measure.

        Returns:
            dict: Plain data: ``settings``, ``machine``, ``steps``,
            ``schedule``, ``gather``, ``lookup`` and ``targets``.
        """
        torch.manual_seed(self.seed)
        if self.compiled:
            # one graph per ratio, mode and model
            limit = 8 * len(self.drop_ratios)
            torch._dynamo.config.recompile_limit = limit
        result = dict(
            settings=self.settings(),
            machine=machine(self.device),
            steps=[],
            schedule=[],
        )
        for arch in self.archs:
            steps, schedule = self._measure_arch(arch)
            result['steps'] += steps
            result['schedule'] += schedule
        result['gather'] = result['lookup'] = None
        if self.gather_batch_size:
            result['gather'] = gather = self._measure_gather()
            result['lookup'] = self._measure_lookup()
            # The difference of two steps is noisy where the share is small;
            # the look-up alone, times the blocks, is not.
            alone = [
                row['ms']['median']
                for row in result['lookup']
                if row['method'] == 'index_first'
                and row['drop_ratio'] == GATHER_DROP
            ]
            gather['share_of_lookups'] = gather['layers'] * (
                alone[0] / gather['ms']['gathered']['median']
            )
        result['targets'] = list(self._targets(result))
        return result

    def settings(self) -> dict:
        """What was asked for."""
        return dict(
            archs=list(self.archs),
            image_size=self.image_size,
            patch_size=self.PATCH_SIZE,
            batch_size=self.batch_size,
            gather_batch_size=self.gather_batch_size,
            gather_layers=self.gather_layers,
            layers=self.layers,
            dtype=self.dtype,
            compiled=self.compiled,
            **self.timing,
        )

    # --------------------------------------------------------------- models
    def _arch(self, arch: str) -> dict:
        settings = dict(PSSVisionTransformer.arch_zoo[arch])
        if self.layers is not None:
            settings['num_layers'] = self.layers
        return settings

    def _pss(self, arch: dict, **kwargs) -> nn.Module:
        return PSSVisionTransformer(
            arch=arch,
            img_size=self.image_size,
            patch_size=self.PATCH_SIZE,
            scorer='magnitude',
            **kwargs,
        )

    def _random_drop(self, arch: str) -> nn.Module:
        """A stock ViT that drops random tokens, as timm's PatchDropout."""
        backbone = VisionTransformer(
            arch=self._arch(arch),
            img_size=self.image_size,
            patch_size=self.PATCH_SIZE,
            out_type='avg_featmap',
        )
        return sample_tokens(backbone, scorer='random')

    def _finish(self, backbone: nn.Module) -> Tuple[nn.Module, Callable]:
        """The backbone on its device, and what is called to run it."""
        backbone.to(self.device)
        return backbone, torch.compile(backbone) if self.compiled else backbone

    def _cases(
        self,
        model: Tuple[nn.Module, Callable],
        batch_size: int,
        drop_ratio: float,
    ) -> Dict[str, Case]:
        """Training and inference step of a model at one ratio."""
        backbone, forward = model
        width = backbone.embed_dims
        generator = torch.Generator().manual_seed(self.seed)
        size = (batch_size, 3, self.image_size, self.image_size)
        images = torch.randn(size, generator=generator).to(self.device)
        labels = torch.arange(batch_size, device=self.device) % NUM_CLASSES
        head = nn.Linear(width, NUM_CLASSES).to(self.device)
        kind = torch.device(self.device).type
        dtype = self.DTYPES[self.dtype]

        def autocast():
            if dtype is None:
                return contextlib.nullcontext()
            return torch.autocast(kind, dtype)

        def prepare(training: bool) -> None:
            backbone.train(training)
            backbone.drop_ratio = drop_ratio
            backbone.zero_grad(set_to_none=True)
            head.zero_grad(set_to_none=True)

        def train() -> None:
            backbone.zero_grad(set_to_none=True)
            head.zero_grad(set_to_none=True)
            with autocast():
                loss = F.cross_entropy(head(forward(images)[-1]), labels)
            loss.backward()

        def infer() -> None:
            with torch.no_grad(), autocast():
                head(forward(images)[-1])

        return dict(
            train=Case(train, lambda: prepare(True)),
            infer=Case(infer, lambda: prepare(False)),
        )

    # -------------------------------------------------------------- measure
    def _time(self, what: str, cases: Dict) -> Dict:
        self.log(f'{what}: {len(cases)} cases, interleaved')

        def progress(done: int, total: int) -> None:
            self.log(f'{what}: round {done}/{total}')

        return time_interleaved(cases, progress=progress, **self.timing)

    def _measure_arch(self, arch: str) -> Tuple[List[dict], List[dict]]:
        models = dict(
            pss=self._finish(self._pss(self._arch(arch))),
            random=self._finish(self._random_drop(arch)),
        )
        cases = {}
        for ratio in self.drop_ratios:
            for name, model in models.items():
                built = self._cases(model, self.batch_size, ratio)
                for mode in self.modes:
                    cases[name, mode, ratio] = built[mode]
        times = self._time(f'ViT {arch}', cases)
        steps = []
        for (name, mode, ratio), seconds in times.items():
            full = times[name, mode, 0.0]
            ideal = self._macs(arch, ratio) / self._macs(arch, 0.0)
            to_full = _ratios(seconds, full)
            row = dict(
                arch=arch,
                model=name,
                mode=mode,
                drop_ratio=ratio,
                tokens=self.counts[ratio],
                ms=_spread([1000 * s for s in seconds]),
                to_drop_0=_spread(to_full),
                mac_ideal=ideal,
                to_ideal=_spread([r / ideal for r in to_full]),
                peak_mib=peak_memory(cases[name, mode, ratio], self.device),
            )
            if name == 'pss':
                other = times['random', mode, ratio]
                row['to_random'] = _spread(_ratios(seconds, other))
            steps.append(row)
        schedule = [
            self._weigh(arch, name, times)
            for name in models
            if 'train' in self.modes
        ]
        return steps, [row for row in schedule if row]

    def _macs(self, arch: str, ratio: float) -> float:
        width, n = self._arch(arch)['embed_dims'], self.counts[ratio]
        layers = self._arch(arch)['num_layers']
        return layers * (12 * n * width**2 + 2 * n**2 * width)

    def _weigh(self, arch: str, name: str, times: Dict) -> Optional[dict]:
        """Mean step over the cyclic schedule, relative to drop 0."""
        shares = cyclic_shares()
        if set(shares) - set(self.drop_ratios):
            return None
        rounds = zip(*(times[name, 'train', ratio] for ratio in shares))
        weights = list(shares.values())
        mean = [sum(w * s for w, s in zip(weights, row)) for row in rounds]
        relative = _ratios(mean, times[name, 'train', 0.0])
        ideal = sum(
            share * self._macs(arch, ratio) / self._macs(arch, 0.0)
            for ratio, share in shares.items()
        )
        return dict(
            arch=arch,
            model=name,
            shares={str(ratio): share for ratio, share in shares.items()},
            to_drop_0=_spread(relative),
            mac_ideal=ideal,
            to_ideal=_spread([r / ideal for r in relative]),
        )

    def _measure_gather(self) -> dict:
        """The step at ViT-B width with and without the bias look-up."""
        batch = self.gather_batch_size
        tokens = keep_count(self.tokens, GATHER_DROP)
        arch = dict(PSSVisionTransformer.arch_zoo['base'])
        if self.gather_layers is not None:
            arch['num_layers'] = self.gather_layers
        given = self._pss(arch, use_rel_pos_bias=False)
        for layer in given.layers:
            layer.attn = GivenBias(layer.attn, batch, tokens)
        models = dict(
            gathered=self._pss(arch),
            given=given,
            none=self._pss(arch, use_rel_pos_bias=False),
        )
        cases = {
            name: self._cases(self._finish(model), batch, GATHER_DROP)['train']
            for name, model in models.items()
        }
        times = self._time('bias look-up', cases)
        share = [
            (with_ - without) / with_
            for with_, without in zip(times['gathered'], times['given'])
        ]
        whole = [
            (with_ - without) / with_
            for with_, without in zip(times['gathered'], times['none'])
        ]
        return dict(
            batch_size=batch,
            drop_ratio=GATHER_DROP,
            tokens=tokens,
            layers=arch['num_layers'],
            ms={
                name: _spread([1000 * s for s in seconds])
                for name, seconds in times.items()
            },
            share=_spread(share),
            share_of_all_bias=_spread(whole),
        )

    def _measure_lookup(self) -> List[dict]:
        """The look-up of one block alone, forward and backward."""
        batch, heads = self.gather_batch_size, 12
        side = self.image_size // self.PATCH_SIZE
        index = relative_position_index((side, side)).to(self.device)
        table = torch.zeros(int(index.max()) + 1, heads, device=self.device)
        table.requires_grad_()
        cases = {}
        for ratio in sorted({GATHER_DROP, *self.drop_ratios[1:]}):
            n = keep_count(self.tokens, ratio)
            kept = torch.rand(batch, self.tokens - 1, device=self.device)
            kept = kept.argsort(1)[:, : n - 1] + 1
            kept = F.pad(kept, (1, 0))
            grad = torch.ones(batch, heads, n, n, device=self.device)

            def ours(kept=kept, grad=grad) -> None:
                table.grad = None
                rows = select_index_pairs(index, kept)
                gather_position_bias(table, rows).backward(grad)

            def dense(kept=kept, grad=grad) -> None:
                table.grad = None
                dense_gather(table, index, kept).backward(grad)

            cases[ratio, 'index_first'] = Case(ours)
            cases[ratio, 'dense_first'] = Case(dense)
        times = self._time('look-up alone', cases)
        return [
            dict(
                drop_ratio=ratio,
                tokens=keep_count(self.tokens, ratio),
                method=method,
                ms=_spread([1000 * s for s in seconds]),
            )
            for (ratio, method), seconds in times.items()
        ]

    @staticmethod
    def _targets(result: dict):
        for row in result['schedule']:
            if row['model'] == 'pss':
                yield _target(
                    f'ViT {row["arch"]}: step over the cyclic schedule, '
                    'relative to MAC-ideal',
                    row['to_ideal']['median'],
                    1.05,
                )
        if result['gather']:
            yield _target(
                'share of the bias look-up in a step at drop '
                f'{GATHER_DROP}, batch {result["gather"]["batch_size"]}, '
                'ViT-B width',
                max(
                    result['gather']['share']['median'],
                    result['gather']['share_of_lookups'],
                ),
                0.05,
            )


def dense_gather(table: Tensor, index: Tensor, kept: Tensor) -> Tensor:
    """The selected bias the obvious way, for comparison.

    The bias of all pairs of tokens, for each image, and then its rows and
    columns: what the look-up by index avoids.
    """
    batch, n = kept.shape
    bias = table[index].permute(2, 0, 1)[None].repeat(batch, 1, 1, 1)
    _, heads, tokens, _ = bias.shape
    rows = kept[:, None, :, None].expand(-1, heads, -1, tokens)
    columns = kept[:, None, None, :].expand(-1, heads, n, -1)
    return bias.gather(2, rows).gather(3, columns)


def cyclic_shares() -> Dict[float, float]:
    """Share of the iterations that the cyclic schedule spends at each ratio.

    Returns:
        dict[float, float]: By drop ratio, highest first.
    """
    schedule = CyclicSchedule(0.8, 0.0, quantum=0.2, plateau='end')
    schedule = schedule.resolve(10 * EPOCH_ITERS, EPOCH_ITERS)
    values = [round(schedule.value(t), 6) for t in range(EPOCH_ITERS)]
    return {
        ratio: values.count(ratio) / len(values)
        for ratio in sorted(set(values), reverse=True)
    }


def machine(device: str) -> dict:
    """What the numbers were measured on."""
    cpu = platform.processor() or platform.machine()
    if os.path.exists('/proc/cpuinfo'):
        with open('/proc/cpuinfo') as file:
            names = [line for line in file if line.startswith('model name')]
        cpu = names[0].split(':')[1].strip() if names else cpu
    gpu = None
    if torch.device(device).type == 'cuda':
        gpu = torch.cuda.get_device_name(device)
    return dict(
        cpu=cpu,
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        gpu=gpu,
        system=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
        date=datetime.datetime.now().astimezone().isoformat('T', 'seconds'),
        memory='max_memory_allocated' if gpu else 'torch.profiler',
    )


def _ratios(a: Sequence[float], b: Sequence[float]) -> List[float]:
    """Round by round, so that what slows a whole round cancels."""
    return [x / y for x, y in zip(a, b)]


def _spread(values: Sequence[float]) -> dict:
    spread = Spread.of(values)
    return dict(spread._asdict(), iqr=spread.iqr)


def _target(name: str, value: float, limit: float) -> dict:
    return dict(name=name, value=value, limit=limit, met=value <= limit)
