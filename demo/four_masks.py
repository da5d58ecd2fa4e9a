# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The four kinds of masks on one image that scikit-learn brings along.

Nothing is trained or downloaded. Filters are the principal components of the
image's own patches, so they look like those of a first layer.

    python demo/four_masks.py --out outputs/four_masks.png
"""

import argparse
import os


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--out', default='outputs/four_masks.png')
    return parser.parse_args()


if __name__ == '__main__':
    ARGS = parse_args()  # before all that --help does not need

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image
from torch import Tensor

from mask_plugins.core.features import random_channel_mask
from mask_plugins.core.patches import build_gate
from mask_plugins.core.tokens import (
    keep_count,
    score_magnitude,
    select_tokens,
)
from mask_plugins.core.weights import ScoreMask
from mask_plugins.visualization.figure import (
    as_picture,
    new_figure,
    save_figure,
    styled,
)
from mask_plugins.visualization.patches import draw_dropped

GRID, SIDE, KERNEL = 14, 16, 7  # patches per side, their pixels, of filters


def load_image() -> Tensor:
    """A square crop, ``(3, 224, 224)`` in [0, 1]."""
    pixels = load_sample_image('flower.jpg')[:, 140:567]  # 427 x 427
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255
    size = (GRID * SIDE, GRID * SIDE)
    return F.interpolate(image[None], size, mode='area')[0]


def drop_tokens(image: Tensor, drop_ratio: float) -> Tensor:
    """Which tokens Patch Sampling Schedules drop, bool, ``(14, 14)``."""
    centered = (image - image.mean((1, 2), keepdim=True))[None]
    tokens = F.unfold(centered, SIDE, stride=SIDE).transpose(1, 2)  # 1, P, C
    count = keep_count(GRID**2, drop_ratio, num_prefix_tokens=0)
    kept = select_tokens(score_magnitude(tokens), count, 0)
    dropped = torch.ones(GRID**2, dtype=torch.bool)
    dropped[kept[0]] = False
    return dropped.view(GRID, GRID)


def with_ball(image: Tensor, x: float, y: float) -> Tensor:
    """The image with a ball in front of it, centered at pixel ``(x, y)``."""
    rows, columns = torch.meshgrid(
        torch.arange(224), torch.arange(224), indexing='ij'
    )
    inside = (rows - y) ** 2 + (columns - x) ** 2 < 20**2
    color = torch.tensor([0.34, 0.71, 0.91]).view(3, 1, 1)  # sky blue
    return torch.where(inside, color, image)


def skip_patches(frame: Tensor, before: Tensor) -> Tensor:
    """Which patches a PASS gate skips, bool, ``(14, 14)``."""
    gate = build_gate('threshold', threshold=0.02, patch_size=SIDE)
    return ~gate(frame[None], before[None])[0].bool()


def make_filters(image: Tensor, count: int = 16) -> Tensor:
    """Principal components of patches, ``(count, 3, 7, 7)``."""
    patches = F.unfold(image[None], KERNEL, stride=3)[0].T
    patches = patches - patches.mean(0)
    components = torch.linalg.svd(patches, full_matrices=False).Vh[:count]
    return components.view(count, 3, KERNEL, KERNEL)


def tile(maps: Tensor, gap: int) -> np.ndarray:
    """Sixteen square maps as 4 x 4, NaN between them."""
    size = maps.shape[-1]
    sheet = np.full([4 * (size + gap) - gap] * 2, np.nan)
    for index, one in enumerate(maps.numpy()):
        row, column = (size + gap) * np.array(divmod(index, 4))
        sheet[row : row + size, column : column + size] = one
    return sheet


def draw_signed(axes: Axes, sheet: np.ndarray, limit: float) -> None:
    """Numbers from purple over white to orange; NaN is left open."""
    axes.imshow(sheet, cmap='PuOr', vmin=-limit, vmax=limit)
    as_picture(axes)


def name(axes: Axes, title: str, masked: Tensor, what: str) -> None:
    """Say above a panel what it shows, and below it how much is masked."""
    share = f'{int(masked.sum()):,} of {masked.numel():,} {what}'
    axes.set_title(title, fontsize=12, fontweight='bold')
    axes.set_xlabel(share, fontsize=10)


@styled
def draw(image: Tensor) -> Figure:
    """One panel per mask, each with how much it masks."""
    figure = new_figure(10, 3.1)
    tokens, patches, weights, channels = figure.subplots(1, 4)

    dropped = drop_tokens(image, 0.6)
    draw_dropped(tokens, image.permute(1, 2, 0).numpy(), dropped.numpy())
    name(tokens, 'tokens dropped', dropped, 'tokens')

    frame = with_ball(image, 164, 60)
    skipped = skip_patches(frame, with_ball(image, 148, 76))
    draw_dropped(patches, frame.permute(1, 2, 0).numpy(), skipped.numpy())
    name(patches, 'patches skipped', skipped, 'patches')

    filters = make_filters(image)
    off = ~ScoreMask(filters, 'magnitude', 'topk', keep_ratio=0.4).hard()
    green = 1
    gray = tile(torch.ones(16, KERNEL, KERNEL), gap=1)
    weights.imshow(gray, cmap='Greys', vmin=0, vmax=4)
    shown = filters.masked_fill(off, torch.nan)[:, green]
    draw_signed(weights, tile(shown, gap=1), 0.8 * float(filters.abs().max()))
    name(weights, 'weights masked', off, 'weights')

    maps = F.conv2d(image[None] - image.mean(), filters)[0, :, ::2, ::2]
    maps = maps / maps.flatten(1).abs().amax(1).view(16, 1, 1)
    generator = torch.Generator().manual_seed(3)
    feature = maps.mean((1, 2))[None]  # N, C
    off = random_channel_mask(feature, 0.5, generator=generator).mask[0]
    sheet = tile(maps.masked_fill(off.view(16, 1, 1), torch.nan), gap=6)
    draw_dropped(channels, np.ones((*sheet.shape, 3)), off.view(4, 4).numpy())
    draw_signed(channels, sheet, 0.5)
    name(channels, 'channels masked', off, 'channels')
    return figure


def main(args: argparse.Namespace) -> None:
    """Draw and save."""
    os.makedirs(os.path.dirname(args.out) or '.', exist_ok=True)
    print('wrote', save_figure(draw(load_image()), args.out, dpi=120))


if __name__ == '__main__':
    main(ARGS)
