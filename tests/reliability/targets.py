# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What is called with odd arguments: the arguments that it needs otherwise."""

import copy
import functools
import inspect

import torch
from mmengine.registry import init_default_scope
from torch import nn

from mask_plugins.core import features, patches, schedules, tokens, weights
from mask_plugins.core.patches.apply_patch_gates import gate_module
from mask_plugins.core.patches.gates import ConvMixerGate, build_gate
from mask_plugins.core.weights.score_init import SCORE_INITS
from mask_plugins.datasets import Digits
from mask_plugins.functional import (
    continual,
    distillation,
    hgsl,
    knn,
    lidar,
    linear_probe,
    neighbors,
    rankme,
    retrieval,
    seeding,
    sinkhorn,
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


def x(*shape):
    return torch.ones(shape) + torch.arange(shape[-1])


SIZED = dict(num_classes=4, in_channels=8)
MOVING = dict(start=0.9, end=0.1)
LABELS = torch.arange(6) % 2
HITS = torch.arange(18).view(3, 6) % 2 > 0
LOGITS = dict(pred=x(2, 3), target=x(2, 3))
MASKED = dict(weight=x(4, 4), scores=x(4, 4))
ARCH = dict(
    embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8
)  # fmt: skip
# What a class or function needs; what has a name of FRESH is called each time.
NEEDS = dict(
    GatedResNet=dict(depth=18, base_channels=2, stem_channels=2),
    GatedConv2d=dict(in_channels=3, out_channels=4, kernel_size=3),
    SoftMaskConv2d=dict(in_channels=3, out_channels=4, kernel_size=3),
    SoftMaskLinear=dict(in_features=3, out_features=4),
    PSSVisionTransformer=dict(arch=ARCH, img_size=16, patch_size=8),
    StemResNetCIFAR=dict(depth=18, base_channels=4),
    ClassIncrementalHead=dict(head=LINEAR),
    HardGlobalSoftminHead=SIZED, MaskedConstantClsHead=SIZED,
    MaskedLinearClsHead=SIZED, DropoutLinearClsHead=SIZED,
    TextPrototypeClsHead=SIZED,
    PMLLossHead=dict(loss=dict(type='ProxyAnchorLoss'), **SIZED),
    MaskedFeatureHead=dict(head=LINEAR),
    SoftMask=dict(weight=x(4, 4)),
    ScoreMask=dict(weight=x(4, 4)),
    EnsembleTeacher=dict(checkpoints='a.pth'),
    FrozenTeacher=dict(checkpoint='a.pth'),
    ReferenceClassifier=dict(backbone=RESNET, head=LINEAR),
    StreamClassifier=dict(backbone=GATED, head=LINEAR),
    StreamFeatureExtractor=dict(backbone=GATED),
    PASSPretrainer=dict(backbone=GATED),
    TrackerHook=dict(backend=dict(type='WandbVisBackend')),
    ScheduleHook=dict(target='a.b', schedule=dict(
        type='mask_plugins.LinearSchedule', start=0.0, end=1.0)),
    RunningModeHook=dict(mode='Test'),
    SGDConstantDecay=dict(params=[nn.Parameter(torch.ones(2))]),
    StagewiseMultiStepLR=dict(optimizer=sgd, stage_epochs=2, milestones=[1]),
    TaskwiseMultiStepLR=dict(optimizer=sgd),
    WarmupCosineLR=dict(optimizer=sgd, T_max=9),
    ConstantSchedule=dict(start=0.9),
    CosineSchedule=MOVING, CyclicSchedule=MOVING, LinearSchedule=MOVING,
    ExponentialSchedule=MOVING,
    # Here if a test has imported mask_plugins.compat.pss.
    OriginalCosineSchedule=MOVING, OriginalCyclicSchedule=MOVING,
    OriginalLinearSchedule=MOVING,
    ProjectionNeck=dict(in_channels=4),
    StepSchedule=dict(milestones=[0.5], **MOVING),
    ClassSubset=dict(dataset=digits, classes=[0, 1]),
    ClassSplit=dict(dataset=digits),
    StratifiedSplit=dict(dataset=digits, part='train', val_per_class=1),
    SubsetByRandperm=dict(dataset=digits, size=20),
    TaskSplit=dict(dataset=digits, tasks=2),
    SyntheticClips=dict(num_clips=4),
    MPerClassSampler=dict(dataset=digits),
    TokenBudgetSampler=dict(sampler=range(8), batch_size=2),
    EachFrame=dict(transforms=[]),
    # Functions.
    class_order=dict(num_classes=4),
    task_bounds=dict(num_classes=4, tasks=2),
    knn_predict=dict(query=x(3, 4), bank=x(6, 4), labels=LABELS, k=2),
    top_k_neighbors=dict(query=x(3, 4), gallery=x(6, 4), k=2),
    rankme=dict(features=torch.eye(4)),
    evaluate_retrieval=dict(query=x(6, 4), query_labels=LABELS, ks=(1,)),
    random_channel_mask=dict(x=x(2, 4), ratio=0.5),
    gate_module=dict(module=lambda: nn.Conv2d(3, 4, 3)),
    apply_patch_gates=dict(
        model=lambda: nn.Sequential(nn.Conv2d(3, 4, 3)), place='conv'
    ),
    build_gate=dict(gate='pooled', channels=3),
    block_macs=dict(num_tokens=4, embed_dims=8),
    relative_position_index=dict(size=(2, 3)),
    keep_highest=dict(values=[x(4)], sparsity=0.5),
    make_ticket=dict(model=lambda: weights.SoftMaskLinear(4, 2)),
    constant_scores=dict(weight=x(4, 4)),
    normal_scores=dict(weight=x(4, 4)),
    magnitude_scores=dict(weight=x(4, 4)),
    distillation_loss=LOGITS, logit_distance=LOGITS,
    unit_rows=dict(x=x(2, 3)),
    center_distances=dict(x=x(2, 3), centers=x(4, 3)),
    hard_softmin=dict(logits=x(2, 3), labels=LABELS[:2]),
    center_decorrelation=dict(centers=x(4, 3)),
    bounded=dict(x=x(3), low=0.0, high=1.0),
    lidar=dict(gram=9 * torch.eye(4), means=x(3, 4) / 99, views=2),
    sinkhorn=dict(scores=x(4, 3)),
    gram_singular_values=dict(gram=torch.eye(4), count=4),
    effective_rank=dict(singular_values=x(4)),
    average_precision=dict(hits=HITS, relevant=torch.full((3,), 3)),
    authors_average_precision=dict(hits=HITS, k=3),
    derive_seeds=dict(seed=0, stream=1),
    mask_count=dict(channels=4, ratio=0.5),
    drop_features=dict(x=x(2, 4), ratio=0.5),
    quantize=dict(value=0.5, quantum=0.1),
    keep_count=dict(num_tokens=9, drop_ratio=0.5),
    select_tokens=dict(scores=x(1, 8), num_keep=4),
    scatter_tokens=dict(
        x=x(1, 2, 3), index=torch.tensor([[0, 1]]), num_tokens=4
    ),
    TokenGate=dict(embed_dims=4),
    ConvMixerGate=dict(channels=3, patch_num=4, dim=4, depth=1, fc_dim=4),
    BinaryMask=dict(weight=x(4, 4), on=x(4, 4) > 2),
    score_mask=dict(scores=x(4, 4)), score_masked_weight=MASKED,
    soft_mask=dict(logits=x(4, 4)), ticket_mask=dict(logits=x(4, 4)),
    prune_logits=dict(logits=x(4, 4), temperature=2.0, init=0.0),
    soft_scale=dict(init=0.0),
    apply_weight_masks=dict(
        model=lambda: nn.Linear(2, 2), rules=[('*', 'mask')],
        mask=weights.ScoreMask,
    ),
)  # fmt: skip
FUNCTIONS = [
    continual.class_order, continual.task_bounds, knn.knn_predict,
    neighbors.top_k_neighbors, rankme.rankme, retrieval.evaluate_retrieval,
    features.random_channel_mask, gate_module, patches.apply_patch_gates,
    build_gate,
    tokens.block_macs, tokens.relative_position_index, weights.keep_highest,
    weights.make_ticket, weights.apply_weight_masks, *SCORE_INITS.values(),
    distillation.distillation_loss, distillation.logit_distance,
    hgsl.unit_rows, hgsl.center_distances, hgsl.hard_softmin,
    hgsl.center_decorrelation, hgsl.bounded, lidar.lidar, sinkhorn.sinkhorn,
    linear_probe.LinearProbe, rankme.gram_singular_values,
    rankme.effective_rank, retrieval.average_precision,
    retrieval.authors_average_precision, seeding.derive_seeds,
    features.mask_count, features.drop_features, schedules.quantize,
    tokens.keep_count, tokens.select_tokens, tokens.scatter_tokens,
    tokens.TokenGate, ConvMixerGate, weights.BinaryMask, weights.score_mask,
    weights.score_masked_weight, weights.soft_mask, weights.ticket_mask,
    weights.prune_logits, weights.soft_scale,
]  # fmt: skip
FRESH = {'dataset', 'optimizer', 'model', 'module'}
# They need a runner, files of a data set, or have no argument of their own.
NOT_BUILT = {
    'ContinualTrainLoop', 'MultiSetTestLoop', 'MultiSetValLoop', 'CIFAR10_1',
    'ImageFolder', 'VideoClips', 'ZhouSplitDataset',
    'build_distilled_model', 'build_gated_model', 'build_masked_model',
    'build_peft_model',
    'TaskSampler',
    'TokenSampler', 'ImageEmbedder', 'CascadeClassifier', 'ClusterSubset',
    'SelfSupTestLoop', 'SelfSupValLoop', 'SwAV', 'MaskOptimWrapperConstructor',
}  # fmt: skip
# Tensors and modules, or settings that mmengine and mmcv read.
NOT_OURS = {
    'weight', 'init_cfg', 'conv_cfg', 'norm_cfg', 'patch_cfg', 'backbone',
    'neck', 'head', 'optimizer', 'params', 'dataset', 'pred', 'target',
    'query', 'bank', 'labels', 'query_labels', 'gallery', 'gallery_labels',
    'features', 'scores', 'x', 'noise', 'generator', 'exclude', 'values',
    'model', 'module', 'data_preprocessor', 'pipeline', 'transforms',
    'centers', 'logits', 'gram', 'means', 'singular_values', 'hits',
    'relevant', 'on', 'index', 'position', 'collect_device', 'collect_dir',
    'prefix', 'device', 'lazy_init',
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
            found[name] = item, NEEDS.get(name, {}), given
    return found


def made(needs):
    """The arguments of one call."""
    return {
        key: value() if key in FRESH and callable(value) else value
        for key, value in copy.deepcopy(needs).items()
    }
