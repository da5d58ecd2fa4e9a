# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is called with odd arguments: the arguments that it needs otherwise."""

import functools
import inspect

import torch
from mmengine.registry import init_default_scope
from torch import nn

from mask_plugins.core import patches, tokens, weights
from mask_plugins.core.features import random_channel_mask
from mask_plugins.core.patches.apply_patch_gates import gate_module
from mask_plugins.core.patches.gates.build import build_gate
from mask_plugins.core.weights.score_init import SCORE_INITS
from mask_plugins.datasets import Digits
from mask_plugins.functional import (
    continual,
    knn,
    neighbors,
    rankme,
    retrieval,
)
from tests.test_examples import registered

LINEAR = dict(type='mmpretrain.LinearClsHead', num_classes=4, in_channels=8)
RESNET = dict(type='mask_plugins.CIFARResNet', depth=8, base_channels=2)
GATED = dict(
    type='mask_plugins.GatedResNet', depth=18, base_channels=2, stem_channels=2
)


@functools.cache
def digits():
    return Digits(indices=40)


def sgd():
    return torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1)


def dataset():
    return dict(dataset=digits())


def x(*shape):
    return torch.ones(shape) + torch.arange(shape[-1])


def sized(**more):
    return lambda: dict(num_classes=4, in_channels=8, **more)


# What a class or function needs; without an entry, nothing.
NEEDS = dict(
    GatedResNet=lambda: dict(depth=18, base_channels=2, stem_channels=2),
    GatedConv2d=lambda: dict(in_channels=3, out_channels=4, kernel_size=3),
    PSSVisionTransformer=lambda: dict(
        arch=dict(embed_dims=8, num_layers=1, num_heads=2,
                  feedforward_channels=8),
        img_size=16, patch_size=8,
    ),
    StemResNetCIFAR=lambda: dict(depth=18, base_channels=4),
    ClassIncrementalHead=lambda: dict(head=LINEAR),
    HardGlobalSoftminHead=sized(),
    SoftMask=lambda: dict(weight=x(4, 4)),
    ScoreMask=lambda: dict(weight=x(4, 4)),
    MaskedConstantClsHead=sized(),
    MaskedLinearClsHead=sized(),
    DropoutLinearClsHead=sized(),
    TextPrototypeClsHead=sized(),
    MaskedFeatureHead=lambda: dict(head=LINEAR),
    PMLLossHead=sized(loss=dict(type='ProxyAnchorLoss')),
    EnsembleTeacher=lambda: dict(checkpoints='a.pth'),
    ReferenceClassifier=lambda: dict(backbone=RESNET, head=LINEAR),
    StreamClassifier=lambda: dict(backbone=GATED, head=LINEAR),
    StreamFeatureExtractor=lambda: dict(backbone=GATED),
    PASSPretrainer=lambda: dict(backbone=GATED),
    ScheduleHook=lambda: dict(
        target='a.b', schedule=dict(type='mask_plugins.LinearSchedule',
                                    start=0.0, end=1.0),
    ),
    RunningModeHook=lambda: dict(mode='Test'),
    SGDConstantDecay=lambda: dict(params=[nn.Parameter(torch.ones(2))]),
    StagewiseMultiStepLR=lambda: dict(
        optimizer=sgd(), stage_epochs=2, milestones=[1]
    ),
    TaskwiseMultiStepLR=lambda: dict(optimizer=sgd()),
    WarmupCosineLR=lambda: dict(optimizer=sgd(), T_max=9),
    **{
        f'{name}Schedule': lambda: dict(start=0.9, end=0.1)
        for name in ('Cosine', 'Cyclic', 'Exponential', 'Linear')
    },
    ConstantSchedule=lambda: dict(start=0.9),
    StepSchedule=lambda: dict(start=0.9, end=0.1, milestones=[0.5]),
    ClassSubset=lambda: dict(dataset=digits(), classes=[0, 1]),
    ClassSplit=dataset,
    StratifiedSplit=lambda: dict(
        dataset=digits(), part='train', val_per_class=1
    ),
    SubsetByRandperm=lambda: dict(dataset=digits(), size=20),
    TaskSplit=lambda: dict(dataset=digits(), tasks=2),
    SyntheticClips=lambda: dict(num_clips=4),
    MPerClassSampler=lambda: dict(dataset=digits()),
    EachFrame=lambda: dict(transforms=[]),
    SoftMaskConv2d=lambda: dict(in_channels=3, out_channels=4, kernel_size=3),
    SoftMaskLinear=lambda: dict(in_features=3, out_features=4),
    # Functions.
    class_order=lambda: dict(num_classes=4),
    task_bounds=lambda: dict(num_classes=4, tasks=2),
    knn_predict=lambda: dict(
        query=x(3, 4), bank=x(6, 4), labels=torch.arange(6) % 2, k=2
    ),
    top_k_neighbors=lambda: dict(query=x(3, 4), gallery=x(6, 4), k=2),
    rankme=lambda: dict(features=torch.eye(4)),
    evaluate_retrieval=lambda: dict(
        query=x(6, 4), query_labels=torch.arange(6) % 2, ks=(1,)
    ),
    random_channel_mask=lambda: dict(x=x(2, 4), ratio=0.5),
    gate_module=lambda: dict(module=nn.Conv2d(3, 4, 3)),
    apply_patch_gates=lambda: dict(
        model=nn.Sequential(nn.Conv2d(3, 4, 3)), place='conv'
    ),
    build_gate=lambda: dict(gate='pooled', channels=3),
    block_macs=lambda: dict(num_tokens=4, embed_dims=8),
    relative_position_index=lambda: dict(size=(2, 3)),
    keep_highest=lambda: dict(values=[x(4)], sparsity=0.5),
    make_ticket=lambda: dict(model=weights.SoftMaskLinear(4, 2)),
    constant_scores=lambda: dict(weight=x(4, 4)),
    normal_scores=lambda: dict(weight=x(4, 4)),
    magnitude_scores=lambda: dict(weight=x(4, 4)),
    apply_weight_masks=lambda: dict(
        model=nn.Linear(2, 2), rules=[('*', 'mask')], mask=weights.ScoreMask
    ),
)  # fmt: skip
# Those that a forward calls are left out: they check nothing, to be fast.
FUNCTIONS = [
    continual.class_order, continual.task_bounds, knn.knn_predict,
    neighbors.top_k_neighbors, rankme.rankme, retrieval.evaluate_retrieval,
    random_channel_mask, gate_module, patches.apply_patch_gates, build_gate,
    tokens.block_macs, tokens.relative_position_index, weights.keep_highest,
    weights.make_ticket, weights.apply_weight_masks, *SCORE_INITS.values(),
]  # fmt: skip
# They need a runner, files of a data set, or have no argument of their own.
NOT_BUILT = {
    'ContinualTrainLoop', 'MultiSetTestLoop', 'MultiSetValLoop', 'CIFAR10_1',
    'ImageFolder', 'VideoClips', 'ZhouSplitDataset',
    'build_gated_model', 'build_masked_model', 'TaskSampler',
    'TokenSampler', 'ImageEmbedder', 'MaskOptimWrapperConstructor',
}  # fmt: skip
# Tensors and modules, or settings that mmengine and mmcv read.
NOT_OURS = {
    'weight', 'init_cfg', 'conv_cfg', 'norm_cfg', 'patch_cfg', 'backbone',
    'neck', 'head', 'optimizer', 'params', 'dataset', 'pred', 'target',
    'query', 'bank', 'labels', 'query_labels', 'gallery', 'gallery_labels',
    'features', 'scores', 'x', 'noise', 'generator', 'exclude', 'values',
    'model', 'module', 'data_preprocessor', 'pipeline', 'transforms',
    'collect_device', 'collect_dir', 'prefix', 'device', 'lazy_init',
}  # fmt: skip


def targets():
    """Name -> (callable, its needs, the parameters that are tried)."""
    init_default_scope('mmpretrain')
    found = {}
    for item in [*registered(), *FUNCTIONS]:
        name = item.__name__
        if name in NOT_BUILT or not item.__module__.startswith('mask_plugins'):
            continue
        given = {
            key: parameter.annotation
            for key, parameter in inspect.signature(item).parameters.items()
            if parameter.kind
            in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if key not in NOT_OURS
        }
        if given:
            found[name] = item, NEEDS.get(name) or dict, given
    return found
