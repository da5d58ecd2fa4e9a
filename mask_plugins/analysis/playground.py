# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the sliders of ``demo/playground.py`` show: numbers and pictures."""

import copy
import os
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mask_plugins.analysis import cli
from mask_plugins.analysis.streams.cli import add_stream_arguments, prepare
from mask_plugins.analysis.streams.frame_source import to_input
from mask_plugins.analysis.streams.stream_comparison import (
    StreamComparison,
    summarize_stream,
)
from mask_plugins.analysis.tokens import patch_images
from mask_plugins.apis import data
from mask_plugins.apis.config import load_config
from mask_plugins.apis.model import load_trained_model
from mask_plugins.apis.preprocess import preprocess
from mask_plugins.core.features import mask_features, random_channel_mask
from mask_plugins.core.weights import (
    ScoreMask,
    apply_weight_masks,
    mask_report,
    named_masks,
)
from mask_plugins.utils.checks import PathLike, check_ratio
from mask_plugins.visualization.figure import COLORS, new_figure, styled
from mask_plugins.visualization.mask_density import draw_mask_density
from mask_plugins.visualization.patches import (
    draw_dropped,
    grid_of,
    kept_patches,
    to_picture,
)
from mask_plugins.visualization.stream_frames import overlay_active

MOST_BYTES = 5 * 2**20
MOST_FRAMES = 24
VIDEO_SIZE = 128


class Playground:
    """A classifier of digits whose four kinds of masks can be moved.

    Args:
        config (str | os.PathLike): Config of a ViT that can drop tokens.
        checkpoint (str | os.PathLike): Its weights.

    Examples:
        >>> Playground('none.py', 'none.pth')
        Traceback (most recent call last):
        ...
        FileNotFoundError: config: no file none.py, and mask_plugins has no \
config of this name; near names: none
    """

    def __init__(self, config: PathLike, checkpoint: PathLike) -> None:
        self.cfg = load_config(config)
        self.model = load_trained_model(self.cfg, checkpoint, [1e-9])
        self.masked = copy.deepcopy(self.model)
        # A score is the magnitude, so the threshold is one of magnitude.
        apply_weight_masks(
            self.masked.backbone,
            [('type:Linear.weight', 'mask'), ('*', 'freeze')],
            lambda weight: ScoreMask(weight, _relative_magnitude),
        )
        self.digits = data.build_test_set(self.cfg)
        size = self.model.backbone.img_size
        self.size = (size, size) if isinstance(size, int) else tuple(size)

    def image(self, digit: int, path: Optional[str] = None) -> Tensor:
        """A digit of the test set, or an image file, preprocessed.

        Args:
            digit (int): Index in the test set.
            path (str, optional): An image file instead.

        Raises:
            ValueError: If the file is too large or not an image.
        """
        if path is None:
            batch = data.load_samples(self.digits, [digit])
            return preprocess(self.model, batch)
        check_upload(path)
        try:
            batch = data.load_files(self.cfg, [path], self.size)
        except Exception as error:
            raise ValueError('this file is not an image') from error
        return preprocess(self.model, batch)

    @torch.no_grad()
    def tokens(self, image: Tensor, drop_ratio: float) -> Tuple[Figure, str]:
        """Which patches are kept at a drop ratio, and the prediction.

        Args:
            image (Tensor): Of :meth:`image`.
            drop_ratio (float): In [0, 1).
        """
        check_ratio('drop_ratio', drop_ratio, '[)')
        record: Dict[str, Any] = patch_images.collect_patches(
            self.model, image, [None], [drop_ratio]
        )
        record.update(patch_images.normalization(self.model))
        kept = kept_patches(record, 0, 0)
        text = f'{int(kept.sum())} of {kept.size} patches kept; '
        logits = torch.tensor(record['logits'][0][0])
        dropped = ~kept.reshape(grid_of(record))
        figure = _draw_tokens(to_picture(record, 0), dropped)
        return figure, text + self._prediction(logits)

    @torch.no_grad()
    def weights(self, image: Tensor, threshold: float) -> Tuple[Figure, str]:
        """The density of each layer, the prediction and the bytes of a task.

        Args:
            image (Tensor): Of :meth:`image`.
            threshold (float): Not negative; weights whose magnitude is below
                so many times the mean magnitude of their tensor are off.
        """
        for item in named_masks(self.masked):
            item.mask.threshold = threshold
        report = mask_report(self.masked.backbone)
        logits = self.masked(image, mode='tensor')[0]
        text = (
            f'{100 * report.density:.1f} % of {report.size:,} weights count; '
            f'the masks take {(report.size + 7) // 8:,} bytes, the weights '
            f'{4 * report.size:,}; {self._prediction(logits)}'
        )
        return draw_mask_density(report.to_dict()), text

    @torch.no_grad()
    def channels(
        self, image: Tensor, ratio: float, seed: int = 0
    ) -> Tuple[Figure, str]:
        """The feature with channels masked, and the prediction from it.

        Args:
            image (Tensor): Of :meth:`image`.
            ratio (float): Share of channels set to 0, in [0, 1).
            seed (int): Which ones. Defaults to 0.
        """
        check_ratio('ratio', ratio, '[)')
        feature = self.model.extract_feat(image, stage='pre_logits')
        off = torch.zeros(feature.shape, dtype=torch.bool)
        if ratio:
            generator = torch.Generator().manual_seed(seed)
            mask = random_channel_mask(feature, ratio, generator=generator)
            feature, off = mask_features(feature, mask), mask.mask
        logits = self.model.head.fc(feature)[0]
        text = f'{int(off.sum())} of {off.numel()} channels masked; '
        figure = _draw_feature(feature[0].numpy(), off[0].numpy())
        return figure, text + self._prediction(logits)

    def patches(
        self, path: Optional[str], threshold: float
    ) -> Tuple[np.ndarray, str]:
        """A frame with its active patches; error and speed over the video.

        Args:
            path (str, optional): A video; None is a drawn scene.
            threshold (float): Of all gates, relative to the mean magnitude
                of a map.

        Returns:
            tuple: The last frame, uint8 RGB, and what was measured.

        Raises:
            ValueError: If the file is too large or not a video.
        """
        parser = cli.make_parser('', 'playground', '')
        add_stream_arguments(parser, frames=MOST_FRAMES, camera=False)
        words = ['--size', str(VIDEO_SIZE), '--threshold', str(threshold)]
        if path is not None:
            check_upload(path)
            words.insert(0, path)
        try:
            setup = prepare(parser.parse_args(words))
        except (OSError, ValueError) as error:
            raise ValueError('this file is not a video') from error
        comparison = StreamComparison(
            setup.dense, setup.stream, setup.stream.skip_ratio, setup.head
        )
        records = [comparison.step(to_input(x)) for x in setup.frames]
        found = summarize_stream(records)
        active = setup.stream.active()
        text = (
            f'{100 * active.mean():.0f} % of the patches active in this '
            f'frame; relative error {100 * found["error_mean"]:.1f} %; '
            f'{found["fps_gated"]:.1f} frames/s, dense '
            f'{found["fps_dense"]:.1f} (random weights, {VIDEO_SIZE} px)'
        )
        return overlay_active(setup.frames[-1], active), text

    def _classes(self) -> List[str]:
        return list(self.digits.metainfo.get('classes') or ())

    def _prediction(self, logits: Tensor) -> str:
        best = int(logits.argmax())
        names = self._classes()
        name = names[best] if best < len(names) else f'class {best}'
        return f'prediction: {name} ({100 * logits.softmax(0)[best]:.1f} %)'


def check_upload(path: str) -> None:
    """Raise ValueError if a file is larger than 5 MiB.

    Examples:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     check_upload(file.name)
    """
    size = os.path.getsize(path)
    if size > MOST_BYTES:
        raise ValueError(
            f'the file has {size / 2**20:.1f} MiB, at most '
            f'{MOST_BYTES // 2**20} are taken'
        )


def _relative_magnitude(weight: Tensor) -> Tensor:
    return weight.abs() / weight.abs().mean()


@styled
def _draw_tokens(picture: np.ndarray, dropped: np.ndarray) -> Figure:
    figure = new_figure(4, 4)
    draw_dropped(figure.subplots(), picture, dropped)
    return figure


@styled
def _draw_feature(feature: np.ndarray, off: np.ndarray) -> Figure:
    figure = new_figure(7.2, 2.6)
    axes = figure.subplots()
    axes.bar(np.arange(len(feature)), feature, color=COLORS[0], width=1.0)
    low, high = axes.get_ylim()
    axes.bar(
        np.flatnonzero(off), high - low, bottom=low, color='0.85', width=1.0
    )
    axes.set(xlabel='channel (gray: masked)', ylabel='value')
    return figure
