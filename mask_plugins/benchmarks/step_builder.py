# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The models that are compared, and the steps that are timed."""

from typing import Callable, Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones import VisionTransformer
from torch import nn

from mask_plugins.models.backbones import PSSVisionTransformer
from mask_plugins.models.backbones.token_sampler import apply_token_sampling
from mask_plugins.utils.checks import check_choice
from mask_plugins.utils.timing import Case

from .precision import DTYPES, autocast

NUM_CLASSES = 1000


class StepBuilder:
    """Build backbones, and their training and inference steps.

    A training step is forward, cross entropy and backward; the optimizer is
    left out, because its time does not depend on the tokens.

    Args:
        image_size (int): Pixels. Defaults to 224.
        device (str): Defaults to 'cpu'.
        dtype (str): ``'fp32'``, or ``'bf16'`` or ``'fp16'`` by autocast.
            Defaults to 'fp32'.
        compiled (bool): Use ``torch.compile``. Defaults to False.
        seed (int): Seed of the images. Defaults to 0.

    Raises:
        ValueError: If `dtype` is unknown, or `image_size` is not a multiple
            of the patch size or is below twice that.

    Examples:
        >>> builder = StepBuilder(image_size=32)
        >>> builder.tokens
        5
        >>> arch = builder.arch('tiny', layers=1)
        >>> model = builder.finish(builder.pss(arch))
        >>> sorted(builder.cases(model, batch_size=1, drop_ratio=0.5))
        ['infer', 'train']
    """

    PATCH_SIZE = 16

    def __init__(
        self,
        image_size: int = 224,
        device: str = 'cpu',
        dtype: str = 'fp32',
        compiled: bool = False,
        seed: int = 0,
    ) -> None:
        check_choice('dtype', dtype, tuple(DTYPES))
        if image_size < 2 * self.PATCH_SIZE or image_size % self.PATCH_SIZE:
            raise ValueError(
                'image_size must be a multiple of the patch size '
                f'{self.PATCH_SIZE} and at least twice it, got {image_size}'
            )
        self.image_size = image_size
        self.device = device
        self.dtype = dtype
        self.compiled = compiled
        self.seed = seed

    @property
    def side(self) -> int:
        """Patches along each side of an image."""
        return self.image_size // self.PATCH_SIZE

    @property
    def tokens(self) -> int:
        """Tokens of an image, the class token included."""
        return self.side**2 + 1

    # --------------------------------------------------------------- models
    @staticmethod
    def arch(name: str, layers: Optional[int] = None) -> dict:
        """Settings of a named size, with fewer or more blocks.

        Args:
            name (str): Of ``PSSVisionTransformer``'s sizes.
            layers (int, optional): Blocks, None for the size's own. Defaults
                to None.

        Returns:
            dict: A copy, as ``PSSVisionTransformer(arch=...)`` takes it.
        """
        settings = dict(PSSVisionTransformer.arch_zoo[name])
        if layers is not None:
            settings['num_layers'] = layers
        return settings

    def pss(self, arch: dict, **kwargs) -> nn.Module:
        """A PSS backbone that keeps the patches of the largest magnitude."""
        return PSSVisionTransformer(
            arch=arch,
            img_size=self.image_size,
            patch_size=self.PATCH_SIZE,
            scorer='magnitude',
            **kwargs,
        )

    def random_drop(self, arch: dict) -> nn.Module:
        """A stock ViT that drops random tokens, as timm's PatchDropout."""
        backbone = VisionTransformer(
            arch=arch,
            img_size=self.image_size,
            patch_size=self.PATCH_SIZE,
            out_type='avg_featmap',
        )
        return apply_token_sampling(backbone, scorer='random')

    def finish(self, backbone: nn.Module) -> Tuple[nn.Module, Callable]:
        """The backbone on its device, and what is called to run it."""
        backbone.to(self.device)
        return backbone, torch.compile(backbone) if self.compiled else backbone

    # ---------------------------------------------------------------- steps
    def cases(
        self,
        model: Tuple[nn.Module, Callable],
        batch_size: int,
        drop_ratio: float,
    ) -> Dict[str, Case]:
        """Training and inference step of a model at one ratio.

        Args:
            model (tuple): What :meth:`finish` returned.
            batch_size (int): Images per step.
            drop_ratio (float): Share of the tokens that is dropped.

        Returns:
            dict[str, Case]: ``train`` and ``infer``.
        """
        backbone, forward = model
        width = backbone.embed_dims
        generator = torch.Generator().manual_seed(self.seed)
        size = (batch_size, 3, self.image_size, self.image_size)
        images = torch.randn(size, generator=generator).to(self.device)
        labels = torch.arange(batch_size, device=self.device) % NUM_CLASSES
        head = nn.Linear(width, NUM_CLASSES).to(self.device)

        def prepare(training: bool) -> None:
            backbone.train(training)
            backbone.drop_ratio = drop_ratio
            clear()

        def clear() -> None:
            backbone.zero_grad(set_to_none=True)
            head.zero_grad(set_to_none=True)

        def train() -> None:
            clear()
            with autocast(self.device, self.dtype):
                loss = F.cross_entropy(head(forward(images)[-1]), labels)
            loss.backward()

        def infer() -> None:
            with torch.no_grad(), autocast(self.device, self.dtype):
                head(forward(images)[-1])

        return dict(
            train=Case(train, lambda: prepare(True)),
            infer=Case(infer, lambda: prepare(False)),
        )
