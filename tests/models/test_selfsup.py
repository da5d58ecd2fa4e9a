# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Self-supervised algorithms of mmpretrain on masked weights."""

import copy
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mask_plugins.models.heads import SwAVHead
from mask_plugins.models.necks import ProjectionNeck
from mask_plugins.registry import MODELS

from ..common.processes import run_ranks
from ..common.runs import Stop, StopHook, load

CROP = [
    dict(type='RandomResizedCrop', scale=12, crop_ratio_range=(0.5, 1.0)),
    dict(type='RandomFlip', prob=0.5),
]
SMALL = [dict(CROP[0], scale=8, crop_ratio_range=(0.2, 0.5)), CROP[1]]
WIDTH = 16  # of the features
BN = dict(type='BN1d')


def mlp(channels, hidden, out, pool):
    return dict(
        type='NonLinearNeck', in_channels=channels, hid_channels=hidden,
        out_channels=out, num_layers=2, with_avg_pool=pool, norm_cfg=BN,
    )  # fmt: skip


PREDICTOR = mlp(8, 8, 8, False)
PREDICT = dict(
    type='LatentPredictHead',
    predictor=PREDICTOR,
    loss=dict(type='CosineSimilarityLoss'),
)
NECK = mlp(WIDTH, 16, 8, True)
OURS = dict(
    neck=dict(type='mask_plugins.ProjectionNeck', in_channels=WIDTH,
              out_channels=8),
    head=dict(type='mask_plugins.SwAVHead', in_channels=8, num_prototypes=6,
              num_crops=[2, 1], queue_length=16),
)  # fmt: skip
SCORES = dict(type='mask_plugins.ScoreMask')
ALGORITHMS = {
    'SimSiam': dict(neck=NECK, head=PREDICT),
    'BYOL': dict(neck=NECK, head=PREDICT, base_momentum=0.1),
    'BarlowTwins': dict(
        neck=NECK,
        head=dict(type='LatentCrossCorrelationHead', in_channels=8,
                  loss=dict(type='CrossCorrelationLoss')),
    ),
    'MoCoV3': dict(
        neck=NECK,
        head=dict(type='MoCoV3Head', predictor=PREDICTOR, temperature=1.0,
                  loss=dict(type='CrossEntropyLoss')),
        base_momentum=0.1,
    ),
    'SwAV': dict(
        neck=dict(type='SwAVNeck', in_channels=WIDTH, hid_channels=0,
                  out_channels=8, norm_cfg=BN),
        head=dict(
            type='SwAVHead',
            loss=dict(type='SwAVLoss', feat_dim=8, num_prototypes=6,
                      num_crops=[2, 1]),
        ),
    ),
    'mask_plugins.SwAV': OURS,
    'mask_plugins.SwAV, masked head': dict(
        neck=dict(OURS['neck'], mask=SCORES),
        head=dict(OURS['head'], mask=SCORES),
    ),
}  # fmt: skip
TWO_VIEWS = ('SimSiam', 'BYOL', 'BarlowTwins', 'MoCoV3')


def config(work_dir, name, hooks=(), **changes):
    views, crops = [2], [CROP]
    if name not in TWO_VIEWS:
        views, crops = [2, 1], [CROP, SMALL]
    digits = dict(type='mask_plugins.Digits', image_size=12)
    plain = dict(
        batch_size=10,
        num_workers=0,
        dataset=dict(
            digits, split='test', indices=20,
            pipeline=[dict(type='PackInputs')],
        ),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )  # fmt: skip
    swav = [
        dict(type='mask_plugins.SwAVHook', queue_start_epoch=1,
             freeze_prototypes=4)
    ] if name == 'mask_plugins.SwAV' else []  # fmt: skip
    cfg = dict(
        default_scope='mmpretrain',
        work_dir=str(work_dir),
        experiment_name=f'{work_dir.parent.name}_{work_dir.name}',
        model=dict(
            copy.deepcopy(ALGORITHMS[name]),
            type=name.split(',')[0],
            backbone=dict(
                type='mask_plugins.MaskedModel',
                module=dict(
                    type='ResNet_CIFAR', depth=18, stem_channels=4,
                    base_channels=2,
                ),
                rules=[('*conv*', 'mask'), ('*', 'freeze')],
                mask=dict(SCORES, init=0.1),
            ),
        ),
        data_preprocessor=dict(
            type='SelfSupDataPreprocessor', mean=[78.0] * 3, std=[96.0] * 3
        ),
        train_dataloader=dict(
            plain,
            batch_size=8,
            drop_last=True,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(
                digits, split='train', indices=40,
                pipeline=[
                    dict(type='mask_plugins.SeedSample'),
                    dict(type='MultiView', num_views=views, transforms=crops),
                    dict(type='PackInputs'),
                ],
            ),
        ),
        val_dataloader=plain,
        val_cfg=dict(type='mask_plugins.SelfSupValLoop'),
        val_evaluator=[
            dict(type='mask_plugins.KNNAccuracy', k=5),
            dict(type='mask_plugins.RankMe'),
        ],
        train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=1),
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.5, momentum=0.9)
        ),
        default_hooks=dict(
            checkpoint=dict(type='mask_plugins.SafeCheckpointHook')
        ),
        custom_hooks=[
            dict(type='mask_plugins.SeedHook'),
            *swav,
            *hooks,
        ],
        randomness=dict(seed=0),
    )  # fmt: skip
    cfg = Config(cfg)
    cfg.merge_from_dict(changes)
    return cfg


class StartHook(Hook):
    """Keeps the model as it is when training begins."""

    def before_train(self, runner):
        self.state = copy.deepcopy(runner.model.state_dict())


@pytest.mark.parametrize('name', ALGORITHMS)
def test_only_scores_norm_statistics_and_head_move(tmp_path, name):
    """Also: a killed and resumed run is the whole run."""
    start = StartHook()
    whole = Runner.from_cfg(config(tmp_path / 'whole', name))
    whole.register_hook(start)
    whole.train()
    after = whole.model.state_dict()
    moved = {k for k in after if not torch.equal(start.state[k], after[k])}
    statistics = ('scores', 'running_mean', 'running_var', 'tracked')
    own = {k for k in after if k.startswith('backbone.')}
    assert [k for k in own & moved if not k.endswith(statistics)] == []
    scores = {k for k in own if k.endswith('scores')}
    assert scores & moved
    # Targets by EMA: the same base, and averages of scores, not of bits.
    prefix = dict(BYOL='target_net', MoCoV3='momentum_encoder').get(name)
    for key in own if prefix else ():
        target = after[f'{prefix}.module.0.{key[len("backbone.") :]}']
        if not key.endswith(statistics):
            # Averaging two equal numbers rounds.
            assert torch.allclose(target, after[key], rtol=1e-6), key
        elif key in scores & moved:
            assert not torch.equal(target, after[key]), key
            assert not ((target == 0) | (target == 1)).all(), key

    stop = StopHook('after_train_iter', 12)
    killed = Runner.from_cfg(config(tmp_path / 'killed', name))
    killed.register_hook(stop)
    with pytest.raises(Stop):
        killed.train()
    resumed = Runner.from_cfg(config(tmp_path / 'killed', name, resume=True))
    resumed.train()
    found, wanted = (
        load(tmp_path / folder / 'epoch_3.pth')['state_dict']
        for folder in ('killed', 'whole')
    )
    assert found.keys() == wanted.keys()
    assert [k for k in wanted if not torch.equal(found[k], wanted[k])] == []
    features = whole.model.extract_feat(torch.rand(2, 3, 12, 12))
    assert features[0].shape[1] == WIDTH


def test_queue_and_frozen_prototypes(tmp_path):
    """The queue is filled from epoch 1; prototypes rest for 4 iterations."""
    # After which torch below 2.3 loses the hooks of optimizer steps.
    torch.compile(torch.sin, backend='eager')(torch.ones(1))
    seen = []

    class Watch(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, *args, **kwargs):
            head = runner.model.head
            seen.append((int(head.queued), head.prototypes.weight.clone()))

    runner = Runner.from_cfg(config(tmp_path / 'run', 'mask_plugins.SwAV'))
    runner.register_hook(Watch())
    runner.train()
    assert [count for count, _ in seen] == [0] * 5 + [8] + [16] * 9
    # They are normalized again in each step, which changes last bits.
    moved = [not torch.allclose(seen[0][1], weight) for _, weight in seen]
    assert moved == [False] * 4 + [True] * 11
    saved = load(tmp_path / 'run' / 'epoch_3.pth')['state_dict']
    assert torch.equal(saved['head.queue'], runner.model.head.queue)
    assert saved['head.queue'].abs().sum() > 0


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(num_crops=[1]), 'num_crops'),
        (dict(num_prototypes=1), 'num_prototypes'),
        (dict(crops_for_assign=[3]), 'crops_for_assign'),
        (dict(queue_length=-1), 'queue_length'),
        (dict(epsilon=0.0), 'epsilon'),
    ],
)
def test_wrong_arguments_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        SwAVHead(8, **{'num_prototypes': 4, **changes})


def test_200_steps_in_bfloat16_at_the_rate_of_the_paper_are_finite():
    torch.manual_seed(0)
    model = MODELS.build(config(Path('x/y'), 'mask_plugins.SwAV').model)
    scores = [p for n, p in model.named_parameters() if n.endswith('scores')]
    head = [*model.neck.parameters(), *model.head.parameters()]
    optimizer = torch.optim.SGD(
        [dict(params=scores), dict(params=head, lr=0.15)], 50, momentum=0.9
    )
    model.head.queue_on = True
    for _ in range(200):
        crops = [torch.randn(4, 3, size, size) for size in (8, 8, 4)]
        with torch.autocast('cpu', torch.bfloat16):
            loss = model.loss(crops, None)['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.isfinite()
    assert loss.dtype == torch.float32
    assert all(p.isfinite().all() for p in model.parameters())


def joint_steps(rank=0, ranks=1):
    """Losses, gradients and the queue over some steps, on a share."""
    torch.manual_seed(0)
    neck = ProjectionNeck(6, 4).double()
    head = SwAVHead(4, 5, num_crops=[2, 1], queue_length=16).double()
    head.queue_on = True
    found = []
    for step in range(4):
        generator = torch.Generator().manual_seed(step)
        crops = torch.randn(3, 8, 6, generator=generator).double()
        mine = crops[:, rank * 8 // ranks : (rank + 1) * 8 // ranks]
        loss = head.loss(neck(mine.flatten(0, 1)))
        head.zero_grad()
        neck.zero_grad()
        loss.backward()
        found.append(
            (loss.detach(), neck.fc.weight.grad, head.prototypes.weight.grad)
        )
    return found, head.queue


def share_of_rank(folder):
    rank = dist.get_rank()
    steps, queue = joint_steps(rank, dist.get_world_size())
    for values in steps:
        for value in values:  # what DistributedDataParallel does
            dist.all_reduce(value)
            value /= dist.get_world_size()
    torch.save((steps, queue), f'{folder}/{rank}.pth')


def test_two_processes_are_one_on_the_joint_batch(tmp_path):
    run_ranks(share_of_rank, str(tmp_path))
    steps, queue = joint_steps()
    assert queue.any(dim=2).all()
    for rank in range(2):
        found, own = load(tmp_path / f'{rank}.pth')
        for values, wanted in zip(found, steps):
            for value, expected in zip(values, wanted):
                torch.testing.assert_close(value, expected)
        # Whole batches come in the order of the ranks.
        torch.testing.assert_close(own, queue)
