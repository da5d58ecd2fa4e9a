# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Networks for streams: the best dense one, and one of random weights."""

import copy
from typing import Iterable

import torch
from mmcv.cnn import fuse_conv_bn
from mmpretrain.models.backbones import ResNet
from torch import Tensor, nn


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
    """
    if depth not in ResNet.arch_settings:
        raise ValueError(
            f'depth must be one of {tuple(ResNet.arch_settings)}, got {depth}'
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = ResNet(depth, out_indices=(3,), zero_init_residual=False)
        # As its init_weights(), which fills the log.
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight, mode='fan_out', nonlinearity='relu'
                )
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all images
    backbone.train()
    count = 0
    for image in images:
        backbone(image)
        count += 1
    if not count:
        raise ValueError('images must hold at least one, got none')
    for norm in norms:
        norm.momentum = 0.1
    backbone.eval()
    return backbone


def best_dense(network: nn.Module) -> nn.Module:
    """The fastest dense form of a network: what a gated one must beat.

    Args:
        network (nn.Module): Left as it is.

    Returns:
        nn.Module: A copy in eval mode, norms folded into convolutions,
        channels_last.
    """
    network = copy.deepcopy(network)
    network.eval()  # not chained: backbones of mmpretrain return None
    network = fuse_conv_bn(network)
    return network.to(memory_format=torch.channels_last)


def last_feature(network: nn.Module):
    """A function from an input to the last feature map of a backbone.

    Args:
        network (nn.Module): Gives a tensor or a tuple of them.
    """

    def forward(image: Tensor) -> Tensor:
        output = network(image)
        return output[-1] if isinstance(output, (tuple, list)) else output

    return forward


def random_head(channels: int, classes: int = 100, seed: int = 0):
    """Pooling and a random linear layer, to ask whether top classes agree.

    Args:
        channels (int): Of the feature.
        classes (int): Defaults to 100.
        seed (int): Defaults to 0.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, channels, generator=generator)

    def forward(feature: Tensor) -> Tensor:
        return feature.mean((2, 3)) @ weight.to(feature).T

    return forward
