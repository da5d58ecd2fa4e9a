# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The masked networks that are compared, and the steps that are timed."""

import contextlib
import copy
import functools
from typing import Callable, Dict, List, NamedTuple, Tuple

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones import ResNet
from torch import Tensor, nn

from mask_plugins.core.weights import (
    ScoreMask,
    SoftMask,
    apply_weight_masks,
    collect_sums,
    hold_masks,
    merge_masks,
    named_masks,
)
from mask_plugins.models.backbones import CIFARResNet
from mask_plugins.utils.checks import check_choice
from mask_plugins.utils.timing import Case

from .plain_masks import plain_masks_of, put_plain_masks
from .precision import DTYPES, autocast

NUM_CLASSES = 10
PENALTY = 1e-8
# A few percent of such scores are below the threshold, as in trained masks.
SCORES = dict(type='normal', mean=1.0, std=0.5)
SOFT_RULES = (('type:Conv2d.weight', 'mask'), ('*', 'train'))
# The authors' selection by name, which has the norms of shortcuts too.
SCORE_RULES = (
    ('re:.*(conv|downsample).*', 'mask'),
    ('*', 'train'),
)


class MaskNet(nn.Module):
    """A backbone, the mean over its output, and a linear head."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.feat_dim, NUM_CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 10)."""
        return self.head(self.backbone(images)[-1].mean((2, 3)))


class Trained(NamedTuple):
    """A network that is trained step by step.

    Args:
        model (nn.Module): The network.
        optimizer (Optimizer): SGD with momentum over all that is trained.
        case (Case): One training step: forward, cross entropy (and penalty),
            backward, optimizer.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    case: Case


def masks_of(model: nn.Module) -> List[Tuple[nn.Module, Tensor]]:
    """Masks and their weights, of either implementation."""
    ours = [(item.mask, item.parameter) for item in named_masks(model)]
    return ours or plain_masks_of(model)


class MaskStepBuilder:
    """Build networks with and without masks, and their steps.

    In all of them what has no mask is trained, norms and head too, so that a
    comparison of two shows the masks and nothing else. Weights with a score
    are frozen, as the method has it.

    Args:
        device (str): Defaults to 'cpu'.
        dtype (str): ``'fp32'``, or ``'bf16'`` or ``'fp16'`` by autocast.
            Defaults to 'fp32'.
        channels_last (bool): Memory format of networks and images. Defaults
            to False.
        seed (int): Of weights, scores and images. Defaults to 0.

    Raises:
        ValueError: If ``dtype`` is unknown.
    """

    #: name -> batch size, pixels
    ARCHS = dict(resnet18=(32, 112), resnet50=(32, 112), resnet20=(128, 32))
    KINDS = (
        'dense',
        'soft',
        'soft_penalty',
        'score',
        'score_held',
        'plain_soft_penalty',
        'plain_score',
    )

    def __init__(
        self,
        device: str = 'cpu',
        dtype: str = 'fp32',
        channels_last: bool = False,
        seed: int = 0,
    ) -> None:
        check_choice('dtype', dtype, tuple(DTYPES))
        self.device = device
        self.dtype = dtype
        self.channels_last = channels_last
        self.seed = seed

    # --------------------------------------------------------------- models
    def network(self, arch: str, kind: str = 'dense') -> nn.Module:
        """A network with the masks of ``kind`` and always the same weights.

        Args:
            arch (str): Of :attr:`ARCHS`.
            kind (str): Of :attr:`KINDS`. Defaults to ``'dense'``.
        """
        torch.manual_seed(self.seed)
        network = CIFARResNet if arch == 'resnet20' else ResNet
        model = MaskNet(network(depth=int(arch[len('resnet') :])))
        if kind == 'dense':
            return self._place(model)
        masked = copy.deepcopy(model)
        if 'soft' in kind:
            apply_weight_masks(masked, SOFT_RULES, SoftMask)
        else:
            mask = functools.partial(ScoreMask, init=SCORES)
            apply_weight_masks(masked, SCORE_RULES, mask)
        if not kind.startswith('plain'):
            return self._place(masked)
        put_plain_masks(model, masked)
        return self._place(model)

    def _place(self, model: nn.Module) -> nn.Module:
        model.to(self.device)
        if self.channels_last:
            model.to(memory_format=torch.channels_last)
        return model

    def merged(self, arch: str) -> nn.Module:
        """The network with its score masks baked in."""
        return merge_masks(self.network(arch, 'score'))

    # ---------------------------------------------------------------- steps
    def training(
        self, arch: str, kind: str, batch_size: int, image_size: int
    ) -> Trained:
        """A network and its training step.

        Args:
            arch (str): Of :attr:`ARCHS`.
            kind (str): Of :attr:`KINDS`.
            batch_size (int): Images per step.
            image_size (int): Pixels.
        """
        model = self.network(arch, kind)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.9)
        images, labels = self._batch(batch_size, image_size)
        forward = self._forward(model, kind)

        def prepare() -> None:
            model.train()
            optimizer.zero_grad(set_to_none=True)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with autocast(self.device, self.dtype):
                out, penalty = forward(images)
                loss = F.cross_entropy(out.float(), labels)
            if penalty is not None:
                loss = loss + PENALTY * penalty
            loss.backward()
            optimizer.step()

        return Trained(model, optimizer, Case(step, prepare))

    @staticmethod
    def _forward(model: nn.Module, kind: str) -> Callable:
        """Output and penalty of a batch; None where there is no penalty."""
        masks = [mask for mask, _ in plain_masks_of(model)]

        def forward(images: Tensor):
            held = kind in ('soft_penalty', 'score_held')
            hold = hold_masks(model) if held else contextlib.nullcontext()
            # as the penalty of ContinuousSparsificationHook does it
            with collect_sums(model) as sums, hold:
                out = model(images)
            if kind == 'plain_soft_penalty':
                sums = [mask.mask.sum() for mask in masks]
            penalized = kind.endswith('penalty')
            return out, torch.stack(sums).sum() if penalized else None

        if kind.endswith('penalty') or kind == 'score_held':
            return forward
        return lambda images: (model(images), None)

    def inference(self, arch: str, batch_size: int, image_size: int) -> Dict:
        """Inference: without masks, with masks, with masks merged.

        Returns:
            dict[str, Case]: ``dense``, ``score`` and ``merged``.
        """
        models = {k: self.network(arch, k) for k in ('dense', 'score')}
        models['merged'] = self.merged(arch)
        images, _ = self._batch(batch_size, image_size)

        def case(model: nn.Module) -> Case:
            def step() -> None:
                with torch.no_grad(), autocast(self.device, self.dtype):
                    model(images)

            return Case(step, model.eval)

        return {name: case(model) for name, model in models.items()}

    def operations(self, model: nn.Module) -> Case:
        """All that masks add to a step, without the step.

        Effective weights of all layers, their backward pass in reverse order,
        and for soft masks the optimizer's step over the logits.

        Args:
            model (nn.Module): With masks, of either implementation.
        """
        pairs = masks_of(model)
        generator = torch.Generator().manual_seed(self.seed)
        grads = [
            torch.randn(weight.shape, generator=generator).to(weight)
            for _, weight in pairs
        ]
        own = [
            parameter for mask, _ in pairs for parameter in mask.parameters()
        ]
        soft = pairs[0][1].requires_grad
        # the optimizer of scores stands for that of the frozen weights
        optimizer = torch.optim.SGD(own, lr=1e-3, momentum=0.9)
        inputs = own + [weight for _, weight in pairs if soft]

        def clear() -> None:
            for tensor in inputs:
                tensor.grad = None

        def step() -> None:
            clear()
            products = [mask(weight) for mask, weight in pairs]
            torch.autograd.backward(products, grads, inputs=inputs)
            if soft:
                optimizer.step()

        return Case(step, clear)

    # ---------------------------------------------------------------- parts
    def _batch(self, batch_size: int, image_size: int):
        generator = torch.Generator().manual_seed(self.seed)
        size = (batch_size, 3, image_size, image_size)
        images = torch.randn(size, generator=generator).to(self.device)
        if self.channels_last:
            images = images.to(memory_format=torch.channels_last)
        labels = torch.arange(batch_size, device=self.device) % NUM_CLASSES
        return images, labels
