# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Parameter groups by role, through mmengine's own builder."""

import functools

import pytest
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from torch import nn

from mask_plugins.core.weights import ScoreMask, SoftMask, apply_weight_masks

SCORES = functools.partial(ScoreMask, init=1.0)


class Net(nn.Module):
    """Names that mislead: a "mask" that is none, a head with a mask."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)
        )
        self.mask_neck = nn.Linear(4, 4)
        self.headless = nn.Linear(4, 2)
        self.head = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))


def make_net(masks=SCORES):
    rules = [
        ('backbone.0.weight', 'mask'),
        ('head.0.weight', 'mask'),
        ('backbone.1.*', 'train'),
        ('backbone.*', 'freeze'),
    ]
    return apply_weight_masks(Net(), rules, masks)


def groups_of(model, optimizer=None, **paramwise):
    options = dict(
        constructor='mask_plugins.MaskOptimWrapperConstructor',
        optimizer=optimizer or dict(type='SGD', lr=50.0, momentum=0.9),
        paramwise_cfg=paramwise,
    )
    return build_optim_wrapper(model, options).optimizer.param_groups


def by_name(model, groups):
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: g for g in groups for p in g['params']}


def roles_of(model, **paramwise):
    groups = by_name(model, groups_of(model, **paramwise))
    return {name: group['role'] for name, group in groups.items()}


def test_roles_go_by_module():
    model = make_net()
    groups = groups_of(model)
    assert [g['role'] for g in groups] == ['masks', 'weights', 'head']
    expected = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            head = 'head' if name.startswith('head.') else 'weights'
            scores = name.endswith('weight_mask.scores')
            expected[name] = 'masks' if scores else head
    assert roles_of(model) == expected
    assert expected['mask_neck.weight'] == 'weights'
    assert expected['headless.weight'] == 'weights'


def test_options_are_absolute():
    model = make_net()
    masks, weights, head = groups_of(
        model,
        dict(type='SGD', lr=50.0, momentum=0.9, weight_decay=0.1),
        masks=dict(momentum=0.5),
        head=dict(lr=0.15, weight_decay=1e-6, nesterov=True),
    )
    assert (masks['lr'], masks['weight_decay']) == (50.0, 0.0)
    assert (masks['momentum'], masks['nesterov']) == (0.5, False)
    assert (weights['lr'], weights['weight_decay']) == (50.0, 0.1)
    assert (head['lr'], head['weight_decay']) == (0.15, 1e-6)
    assert (head['momentum'], head['nesterov']) == (0.9, True)
    # Where the optimizer decays by default, masks do not.
    masks, weights, _ = groups_of(make_net(), dict(type='AdamW', lr=1e-3))
    assert (masks['weight_decay'], weights['weight_decay']) == (0, 0.01)


def test_masks_in_the_head_may_be_head():
    roles = roles_of(make_net(), masked_head='head')
    assert roles['head.0.weight_mask.scores'] == 'head'
    assert roles['backbone.0.weight_mask.scores'] == 'masks'


def test_head_modules_are_patterns_of_paths():
    model = make_net()
    roles = roles_of(model, head_modules=('mask_*', 'head.1'))
    heads = {name.rsplit('.', 1)[0] for name in roles if roles[name] == 'head'}
    assert heads == {'mask_neck', 'head.1'}
    with pytest.raises(ValueError, match="'bbox_head' matches no module"):
        groups_of(model, head_modules='bbox_head')


def test_stock_multipliers_are_of_the_role():
    model = make_net()
    groups = by_name(
        model,
        groups_of(
            model,
            dict(type='SGD', lr=50.0, weight_decay=0.1),
            weights=dict(lr=2.0, weight_decay=0.5),
            norm_decay_mult=0.0,
            bias_lr_mult=2.0,
            custom_keys={'mask_neck': dict(lr_mult=0.1, decay_mult=0.5)},
        ),
    )
    assert groups['backbone.1.weight']['weight_decay'] == 0
    assert groups['headless.weight']['weight_decay'] == 0.5
    assert groups['headless.bias']['lr'] == 4.0
    assert groups['mask_neck.weight']['lr'] == pytest.approx(0.2)
    assert groups['mask_neck.weight']['weight_decay'] == 0.25
    assert groups['head.1.bias']['lr'] == 100.0
    assert groups['backbone.0.weight_mask.scores']['lr'] == 50.0


def test_soft_masks_and_their_weights():
    model = apply_weight_masks(
        Net(), [('backbone.0.weight', 'mask')], SoftMask
    )
    groups = by_name(model, groups_of(model, masks=dict(lr=0.2)))
    assert groups['backbone.0.weight_mask.logits']['lr'] == 0.2
    assert groups['backbone.0.weight']['role'] == 'weights'


def test_a_shared_mask_is_optimized_once():
    model = nn.ModuleDict(dict(a=nn.Linear(3, 3), b=nn.Linear(3, 3)))
    model['b'].weight = model['a'].weight
    apply_weight_masks(model, [('*.weight', 'mask'), ('*', 'freeze')], SCORES)
    (group,) = groups_of(model)
    assert len(group['params']) == 1


def test_one_line_per_group(tmp_path):
    file = tmp_path / 'log.txt'
    MMLogger.get_instance('roles', log_file=str(file))
    groups_of(make_net(), head=dict(lr=0.15))
    lines = [x.split(' - ')[-1] for x in file.read_text().splitlines()]
    assert lines == [
        'masks: 2 tensors, 128 elements, lr 50, weight_decay 0',
        'weights: 6 tensors, 38 elements, lr 50',
        'head: 3 tensors, 17 elements, lr 0.15',
    ]


@pytest.mark.parametrize(
    ('paramwise', 'error', 'message'),
    [
        (dict(mask=dict(lr=1.0)), ValueError, "a key of .*, got 'mask'"),
        (dict(masks=50.0), TypeError, 'masks must be a dict'),
        (dict(masks=dict(lrr=1.0)), ValueError, "for SGD .* got 'lrr'"),
        (dict(head=dict(lr=-1.0)), ValueError, 'head.lr must be a number'),
        (dict(masked_head='x'), ValueError, "masked_head must .*got 'x'"),
    ],
)
def test_bad_options(paramwise, error, message):
    with pytest.raises(error, match=message):
        groups_of(make_net(), **paramwise)


def test_a_role_without_parameters_is_an_error():
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ValueError, match='options for masks.* 2'):
        groups_of(model, masks=dict(lr=1.0))
    with pytest.raises(ValueError, match='options for head'):
        groups_of(model, head=dict(lr=1.0))
    model.requires_grad_(False)
    with pytest.raises(ValueError, match='all are frozen'):
        groups_of(model)
