# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Small models to mask, and what they should compute."""

import copy
from functools import partial

import torch
import torch.distributed as dist
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmpretrain.models.utils import BEiTAttention
from mmpretrain.models.utils import MultiheadAttention as FusedAttention
from torch import nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel

from mask_plugins.core.weights import (
    ScoreMask,
    SoftMask,
    apply_weight_masks,
    merge_masks,
    named_masks,
)
from mask_plugins.models.layers import PSSAttention

EVERYTHING = [('*', 'mask')]
normal = partial(torch.randn_like, memory_format=torch.contiguous_format)
KINDS = dict(
    soft=partial(SoftMask, init=-0.1),
    score=partial(ScoreMask, init=normal),
    topk=partial(ScoreMask, init=normal, criterion='topk', keep_ratio=0.4),
    flip=partial(ScoreMask, init=normal, criterion='flip', scale=False),
)


class Small(nn.Module):
    """conv bn relu conv gap fc: (B, 2, 6, 6) -> (B, 3)."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, stride=2)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.bn(self.conv1(x)).relu()
        return self.head(self.conv2(x).relu().mean((2, 3)))


SMALL_RULES = [
    ('conv*.weight', 'mask'),
    ('head.*', 'train'),
    ('*', 'freeze'),
]


def small_input(batch=5):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(batch, 2, 6, 6, generator=generator)


def masked_small(kind='score', seed=0, rules=SMALL_RULES):
    """The same base for a seed, whatever the mask."""
    torch.manual_seed(seed)
    model = Small()
    torch.manual_seed(seed + 1)
    apply_weight_masks(model, rules, KINDS[kind])
    randomize(model)
    return model


def small_base(seed=0):
    """The base of :func:`masked_small`."""
    torch.manual_seed(seed)
    return Small()


@torch.no_grad()
def randomize(model):
    """Logits that are neither all on nor all off, at a temperature of 3."""
    for item in named_masks(model):
        if isinstance(item.mask, SoftMask):
            item.mask.logits.normal_()
            item.mask.temperature = 3.0


def train(
    model, steps=3, lr=0.1, momentum=0.9, data=None, decay=0.0, factor=1
):
    """A few steps; the losses."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(
        trained, lr=lr, momentum=momentum, weight_decay=decay
    )
    data = small_input() if data is None else data
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = factor * model(data).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def train_half(folder):
    """Three steps of each kind on a rank's half of the batch."""
    rank = dist.get_rank()
    for kind in ('score', 'soft'):
        model = masked_small(kind, seed=rank).eval()
        ddp = DistributedDataParallel(model)  # rank 0's values go to all
        # Gradients are averaged over processes, the loss is a sum.
        train(ddp, data=small_input(4)[rank::2], lr=0.02, factor=2)
        torch.save(model.state_dict(), f'{folder}/{kind}{rank}.pth')


def classes(model):
    """The class of each module."""
    return [type(module) for module in model.modules()]


def stock_of(model):
    """A copy without masks, its weights the base."""
    stock = merge_masks(copy.deepcopy(model))
    with torch.no_grad():
        for name, parameter in stock.named_parameters():
            parameter.copy_(model.get_parameter(name))
    return stock


def with_effective_weights(model, *args, **kwargs):
    """The output of the stock model, given what its weights count as."""
    stock = stock_of(model)
    given = {
        item.name: item.mask(item.parameter) for item in named_masks(model)
    }
    return functional_call(stock, given, args, kwargs)


# ------------------------------------------------------------ module zoo
class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 4)

    def forward(self, x):
        return self.cell(x, self.cell(x))


class SelfAttention(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True, **kwargs)

    def forward(self, x):
        return self.attn(x, x[:, :, : self.attn.kdim], x)[0]


class TiedPair(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 8)
        self.out = nn.Linear(8, 6, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x):
        return self.out(self.embed(x))


def zoo():
    """Name, module and shape of its input."""
    yield 'Linear', nn.Linear(4, 3), (2, 4)
    yield 'Conv1d', nn.Conv1d(4, 6, 3, groups=2), (2, 4, 7)
    conv = nn.Conv2d(4, 4, 3, groups=4, dilation=2, padding='same')
    yield 'Conv2d groups dilation', conv, (2, 4, 7, 7)
    conv = nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode='reflect')
    yield 'Conv2d reflect', conv, (2, 2, 7, 7)
    yield 'Conv3d', nn.Conv3d(2, 3, 2, padding=1), (1, 2, 4, 4, 4)
    conv = nn.ConvTranspose2d(4, 2, 3, stride=2, output_padding=1)
    yield 'ConvTranspose2d', conv, (2, 4, 5, 5)
    yield 'ConvTranspose1d', nn.ConvTranspose1d(2, 4, 3), (2, 2, 5)
    conv = Conv2dAdaptivePadding(2, 3, 3, stride=2)
    yield 'Conv2dAdaptivePadding', conv, (2, 2, 7, 7)
    yield 'BatchNorm2d', nn.BatchNorm2d(4), (3, 4, 5, 5)
    yield 'LayerNorm', nn.LayerNorm(4), (3, 4)
    yield 'GroupNorm', nn.GroupNorm(2, 4), (3, 4, 5, 5)
    yield 'PReLU', nn.PReLU(4), (3, 4)
    yield 'GRUCell', Recurrent(), (3, 4)
    yield 'MultiheadAttention', SelfAttention(), (2, 5, 8)
    yield 'MultiheadAttention apart', SelfAttention(kdim=4), (2, 5, 8)
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    yield 'TransformerEncoderLayer', layer, (2, 5, 8)
    yield 'TransformerEncoder', nn.TransformerEncoder(layer, 2), (2, 5, 8)
    yield 'mmpretrain attention', FusedAttention(8, 2), (2, 5, 8)
    attention = BEiTAttention(8, 2, (2, 2), True, bias='qv_bias')
    yield 'BEiTAttention', attention, (2, 5, 8)
    attention = PSSAttention(8, 2, (2, 2), False, bias='qv_bias')
    yield 'PSSAttention', attention, (2, 5, 8)


with torch.random.fork_rng():
    torch.manual_seed(0)
    ZOO = {name: (module, shape) for name, module, shape in zoo()}


def from_zoo(name):
    torch.manual_seed(0)
    module, shape = ZOO[name]
    return copy.deepcopy(module), torch.randn(shape)
