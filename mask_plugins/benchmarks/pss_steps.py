# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The token-dropping models that are compared, and the steps timed."""

from dataclasses import dataclass
from typing import Callable, ClassVar, Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones import VisionTransformer
from torch import nn

from mask_plugins.models.backbones import PSSVisionTransformer
from mask_plugins.models.backbones.token_sampler import apply_token_sampling
from mask_plugins.utils.timing import Case

from .pss_others import PatchDropoutViT, TokenMergingViT, original_form
from .step_builder import StepBuilder

PATCH_SIZE = 16


@dataclass
class PSSStepBuilder(StepBuilder):
    """Build backbones, and their training and inference steps.

    A training step is forward, cross entropy and backward; the optimizer is
    left out, because its time does not depend on the tokens.

    Args:
        image_size (int): Pixels. Defaults to 224.
        compiled (bool): Use ``torch.compile``. Defaults to False.

    Raises:
        ValueError: If ``image_size`` is not a multiple of the patch size or
            is below twice that.

    Examples:
        >>> builder = PSSStepBuilder(image_size=32)
        >>> builder.tokens
        5
        >>> arch = builder.arch('tiny', layers=1)
        >>> model = builder.finish(builder.pss(arch))
        >>> sorted(builder.cases(model, batch_size=1, drop_ratio=0.5))
        ['infer', 'train']
    """

    NUM_CLASSES: ClassVar = 1000

    image_size: int = 224
    compiled: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.image_size
        if size < 2 * PATCH_SIZE or size % PATCH_SIZE:
            raise ValueError(
                'image_size must be a multiple of the patch size '
                f'{PATCH_SIZE} and at least twice it, got {size}'
            )

    @property
    def side(self) -> int:
        """Patches along each side of an image."""
        return self.image_size // PATCH_SIZE

    @property
    def tokens(self) -> int:
        """Tokens of an image, the class token included."""
        return self.side**2 + 1

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
        size = dict(img_size=self.image_size, patch_size=PATCH_SIZE)
        return PSSVisionTransformer(
            arch=arch, scorer='magnitude', **size, **kwargs
        )

    def random_drop(self, arch: dict) -> nn.Module:
        """A stock ViT that drops random tokens, as timm's PatchDropout."""
        size = dict(img_size=self.image_size, patch_size=PATCH_SIZE)
        backbone = VisionTransformer(arch, out_type='avg_featmap', **size)
        return apply_token_sampling(backbone, scorer='random')

    def other(self, name: str, arch: dict) -> nn.Module:
        """A backbone that is compared with, one of ``OTHERS``."""
        size = dict(img_size=self.image_size, patch_size=PATCH_SIZE)
        if name == 'original':
            return original_form(self.pss(arch))
        if name == 'patch_dropout':
            return PatchDropoutViT(arch, self.image_size, PATCH_SIZE)
        return TokenMergingViT(arch, out_type='avg_featmap', **size)

    def finish(self, backbone: nn.Module) -> Tuple[nn.Module, Callable]:
        """The backbone on its device, and what is called to run it."""
        self.place(backbone)
        return backbone, torch.compile(backbone) if self.compiled else backbone

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
        images, labels = self.batch(batch_size, self.image_size)
        head = self.place(nn.Linear(backbone.embed_dims, self.NUM_CLASSES))

        def prepare(training: bool) -> None:
            backbone.train(training)
            backbone.drop_ratio = drop_ratio
            clear()

        def clear() -> None:
            backbone.zero_grad(set_to_none=True)
            head.zero_grad(set_to_none=True)

        def scores() -> torch.Tensor:
            return head(forward(images)[-1])

        def train() -> None:
            clear()
            with self.autocast():
                loss = F.cross_entropy(scores(), labels)
            loss.backward()

        return dict(
            train=Case(train, lambda: prepare(True)),
            infer=self.inference(scores, lambda: prepare(False)),
        )
