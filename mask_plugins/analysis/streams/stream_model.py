# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Networks for streams: the best dense one, and one of random weights."""

import copy
from typing import Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from mask_plugins.utils.checks import check_choice
from mask_plugins.utils.openmmlab import imports_for

with imports_for('a network for streams'):
    from mmcv.cnn import fuse_conv_bn
    from mmpretrain.models.backbones import ResNet


@torch.no_grad()
def random_resnet(
    images: Iterable[Tensor], depth: int = 18, seed: int = 0
) -> nn.Module:
    """A ResNet of random weights whose activations have a sane scale.

    For measurements where no weights can be downloaded: the norms take mean
    and variance from ``images``. What it computes means nothing; how long it
    takes, and how errors pass through it, is that of a ResNet.

    Args:
        images (Iterable[Tensor]): Inputs :math:`(B, 3, H, W)`, at least one.
        depth (int): 18, 34, 50, 101 or 152. Defaults to 18.
        seed (int): Of the weights. Defaults to 0.

    Returns:
        nn.Module: mmpretrain's ``ResNet`` in eval mode; only the last stage
        is put out.

    Raises:
        ValueError: If there is no such depth, or no image.

    Examples:
        >>> backbone = random_resnet([torch.rand(2, 3, 32, 32)])
        >>> backbone(torch.rand(1, 3, 32, 32))[-1].shape
        torch.Size([1, 512, 1, 1])
    """
    check_choice('depth', depth, ResNet.arch_settings)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = ResNet(depth, out_indices=(3,), zero_init_residual=False)
        # As its init_weights(), which fills the log.
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight, mode='fan_out', nonlinearity='relu'
                )
    images = list(images)
    if not images:
        raise ValueError('images must hold at least one, got none')
    backbone.eval()
    update_bn(images, backbone)  # the mean over all images
    return backbone


def best_dense(network: nn.Module) -> nn.Module:
    """The fastest dense form of a network: what a gated one must beat.

    Args:
        network (nn.Module): Left as it is.

    Returns:
        nn.Module: A copy in eval mode, norms folded into convolutions,
        channels_last. :func:`dense_rivals` times its forms.

    Examples:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        >>> best_dense(net)[1]
        Identity()
    """
    network = copy.deepcopy(network)
    network.eval()  # not chained: backbones of mmpretrain return None
    acts = [  # of timm's norms, which mmcv takes off with them
        (parent, name, child.act)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.BatchNorm2d) and hasattr(child, 'act')
    ]
    network = fuse_conv_bn(network)
    for parent, name, act in acts:
        if isinstance(parent._modules[name], nn.Identity):
            parent._modules[name] = act
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def convolution_macs(network: nn.Module, image: Tensor) -> int:
    """Multiply-adds of all convolutions of a network for one input.

    Args:
        network (nn.Module): Runs on the input.
        image (Tensor): :math:`(1, C, H, W)`.

    Examples:
        >>> convolution_macs(nn.Conv2d(3, 4, 3), torch.ones(1, 3, 5, 5))
        972
    """
    counts = []

    def count(conv: nn.Conv2d, args, out: Tensor) -> None:
        counts.append(out[0, 0].numel() * conv.weight.numel())

    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    hooks = [conv.register_forward_hook(count) for conv in convs]
    try:
        network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(counts)


def last_feature(network: nn.Module):
    """A function from an input to the last feature map of a backbone.

    Args:
        network (nn.Module): Gives a tensor or a tuple of them.

    Examples:
        >>> last_feature(nn.Identity())((torch.zeros(1), torch.ones(1)))
        tensor([1.])
    """

    def forward(image: Tensor) -> Tensor:
        output = network(image)
        return output[-1] if isinstance(output, (tuple, list)) else output

    return forward


def random_head(channels: int, seed: int = 0):
    """Pooling and a random layer of 100 classes: do the top ones agree?

    Args:
        channels (int): Of the feature.
        seed (int): Defaults to 0.

    Examples:
        >>> random_head(8)(torch.ones(1, 8, 4, 4)).shape
        torch.Size([1, 100])
    """
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(100, channels, generator=generator)

    def forward(feature: Tensor) -> Tensor:
        return feature.mean((2, 3)) @ weight.to(feature).T

    return forward
