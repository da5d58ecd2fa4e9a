# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The masked networks that are compared, and the steps that are timed."""

import copy
import functools
import os
from dataclasses import dataclass
from typing import Callable, ClassVar, Dict, List, NamedTuple, Tuple

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
from mask_plugins.native import SWITCH
from mask_plugins.utils.timing import Case

from .plain_masks import plain_masks_of, put_plain_masks
from .step_builder import StepBuilder

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
        self.head = nn.Linear(backbone.feat_dim, StepBuilder.NUM_CLASSES)

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


def torch_only(case: Case) -> Case:
    """A case without the compiled kernels.

    Examples:
        >>> torch_only(Case(lambda: os.environ[SWITCH])).step()
        '0'
    """

    def step():
        before = os.environ.get(SWITCH)
        os.environ[SWITCH] = '0'
        try:
            return case.step()
        finally:
            os.environ.pop(SWITCH)
            if before is not None:
                os.environ[SWITCH] = before

    return Case(step, case.prepare)


def masks_of(model: nn.Module) -> List[Tuple[nn.Module, Tensor]]:
    """Masks and their weights, of either implementation."""
    ours = [(item.mask, item.parameter) for item in named_masks(model)]
    return ours or plain_masks_of(model)


@dataclass
class MaskStepBuilder(StepBuilder):
    """Build networks with and without masks, and their steps.

    In all of them what has no mask is trained, norms and head too, so that a
    comparison of two shows the masks and nothing else. Weights with a score
    are frozen, as the method has it. The arguments are those of
    :class:`StepBuilder`.

    Examples:
        >>> builder = MaskStepBuilder()
        >>> builder.network('resnet20', 'score').head
        Linear(in_features=64, out_features=10, bias=True)
    """

    #: name -> batch size, pixels
    ARCHS: ClassVar = dict(
        resnet18=(32, 112), resnet50=(32, 112), resnet20=(128, 32)
    )
    KINDS: ClassVar = (
        'dense',
        'soft',
        'soft_penalty',
        'score',
        'score_held',
        'torch_soft',
        'torch_score',
        'plain_soft_penalty',
        'plain_score',
    )

    def network(self, arch: str, kind: str = 'dense') -> nn.Module:
        """A network with the masks of ``kind`` and always the same weights.

        Args:
            arch (str): Of :attr:`ARCHS`.
            kind (str): Of :attr:`KINDS`: ``'torch'`` is without compiled
                kernels, ``'plain'`` the obvious implementation. Or
                ``'merged'``: with score masks baked in. Defaults to
                ``'dense'``.
        """
        if kind == 'merged':
            return merge_masks(self.network(arch, 'score'))
        torch.manual_seed(self.seed)
        network = CIFARResNet if arch == 'resnet20' else ResNet
        model = MaskNet(network(depth=int(arch[len('resnet') :])))
        if kind != 'dense':
            dense, model = model, copy.deepcopy(model)
            if 'soft' in kind:
                apply_weight_masks(model, SOFT_RULES, SoftMask)
            else:
                mask = functools.partial(ScoreMask, init=SCORES)
                apply_weight_masks(model, SCORE_RULES, mask)
            if kind.startswith('plain'):
                put_plain_masks(dense, model)
                model = dense
        return self.place(model)

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
        images, labels = self.batch(batch_size, image_size)
        forward = self._forward(model, kind)

        def prepare() -> None:
            model.train()
            optimizer.zero_grad(set_to_none=True)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                out, penalty = forward(images)
                loss = F.cross_entropy(out.float(), labels)
            if penalty is not None:
                loss = loss + PENALTY * penalty
            loss.backward()
            optimizer.step()

        case = Case(step, prepare)
        if kind.startswith('torch'):
            case = torch_only(case)
        return Trained(model, optimizer, case)

    @staticmethod
    def _forward(model: nn.Module, kind: str) -> Callable:
        """Output and penalty of a batch; None where there is no penalty."""
        masks = [mask for mask, _ in plain_masks_of(model)]

        def plain(images: Tensor):
            out = model(images)
            return out, torch.stack([m.mask.sum() for m in masks]).sum()

        def penalized(images: Tensor):
            # as the penalty of ContinuousSparsificationHook does it
            with collect_sums(model) as sums, hold_masks(model):
                out = model(images)
            return out, torch.stack(sums).sum()

        def held(images: Tensor):
            with hold_masks(model):
                return model(images), None

        found = dict(
            plain_soft_penalty=plain, soft_penalty=penalized, score_held=held
        )
        return found.get(kind, lambda images: (model(images), None))

    def cases(self, arch: str, batch_size: int, image_size: int) -> Dict:
        """Inference: without masks, with masks, with masks merged.

        Returns:
            dict[str, Case]: ``dense``, ``score`` and ``merged``.
        """
        images, _ = self.batch(batch_size, image_size)
        kinds = ('dense', 'score', 'merged')
        models = {kind: self.network(arch, kind) for kind in kinds}
        return {
            kind: self.inference(functools.partial(model, images), model.eval)
            for kind, model in models.items()
        }

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
            for mask, _ in pairs:  # as after a step of the optimizer
                getattr(mask, '_known', {}).clear()
            products = [mask(weight) for mask, weight in pairs]
            torch.autograd.backward(products, grads, inputs=inputs)
            if soft:
                optimizer.step()

        return Case(step, clear)
