# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""MaskedModel and the masked layers in configs: what mmengine does to them."""

import copy

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from mmengine.runner import load_checkpoint
from mmpretrain.models import ResNet, VisionTransformer
from torch import nn

from mask_plugins.core.composed import stock_class
from mask_plugins.core.weights import (
    SoftMaskConv2d,
    disable_masks,
    merge_masks,
    named_masks,
)
from mask_plugins.engine.hooks import ScheduleHook
from tests.common.equal import assert_equal
from tests.common.runs import load
from tests.core.weights.nets import classes
from tests.engine.masked_toys import Hidden, Soft
from tests.engine.toys import build_runner

RESNET = dict(type='mmpretrain.ResNet', depth=18, base_channels=8,
              stem_channels=8)  # fmt: skip
MASKS = dict(
    score=dict(type='mask_plugins.ScoreMask', init='normal'),
    soft=dict(type='mask_plugins.SoftMask', init=-0.1),
)


def build(module=RESNET, mask='score', **kwargs):
    mask = MASKS[mask] if isinstance(mask, str) else mask
    cfg = dict(type='mask_plugins.MaskedModel', module=module, mask=mask)
    return MODELS.build(dict(cfg, **kwargs))


def weights_of(model):
    """The state without that of masks."""
    state = model.state_dict()
    return {key: v for key, v in state.items() if '_mask.' not in key}


def test_it_is_the_model_itself():
    model = build(
        rules=[('*conv*', 'mask'), ('*downsample*', 'mask'), ('*', 'freeze')]
    )
    assert isinstance(model, ResNet)
    assert stock_class(model) is ResNet
    assert weights_of(model).keys() == MODELS.build(RESNET).state_dict().keys()
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all(name.endswith('_mask.scores') for name in trained)


def test_all_weights_by_default():
    vit = dict(type='mmpretrain.VisionTransformer', arch='deit-t',
               img_size=32, patch_size=16)  # fmt: skip
    model = build(vit, 'soft')
    assert isinstance(model, VisionTransformer)
    names = [item.name for item in named_masks(model)]
    assert 'layers.0.attn.qkv.weight' in names
    assert 'patch_embed.projection.weight' in names
    assert all(name.endswith('weight') for name in names)
    assert len(names) == 1 + 12 * 4
    with pytest.raises(ValueError, match='no convolution and no linear'):
        build(nn.ReLU())


@pytest.mark.parametrize(
    ('mask', 'error', 'message'),
    [
        (dict(init=1.0), TypeError, 'mask must be a dict such as'),
        (dict(type='mask_plugins.Mask'), KeyError, "there is no 'mask_plug"),
        (dict(type='mask_plugins.SoftMask', s0=0), TypeError, 's0'),
    ],
)
def test_wrong_masks(mask, error, message):
    with pytest.raises(error, match=message):
        build(mask=mask)


# ----------------------------------------------------------- initial weights
class Net(BaseModule):
    """Conv and linear, initialized by init_cfg."""

    def __init__(self, masked, init_cfg):
        super().__init__(init_cfg)
        conv = SoftMaskConv2d if masked else nn.Conv2d
        self.conv = conv(2, 3, 3)
        self.fc = nn.Linear(3, 2)


BY_TYPE = [
    dict(type='Constant', layer='Conv2d', val=2.0, bias=1.0),
    dict(type='Constant', layer=['Linear'], val=3.0),
]


@pytest.mark.parametrize('way', ['wrapped', 'registered'])
def test_init_cfg_by_type_of_layer(way):
    model = Net(way == 'registered', BY_TYPE)
    if way == 'wrapped':
        model = build(model, 'soft')
    model.init_weights()
    assert (model.conv.weight == 2).all()
    assert (model.conv.bias == 1).all()
    assert (model.fc.weight == 3).all()
    start = -0.1 if way == 'wrapped' else 0.0
    assert (model.conv.weight_mask.logits == start).all()


@pytest.mark.parametrize('mask', list(MASKS))
def test_pretrained_weights_are_those_of_the_file(mask, tmp_path):
    torch.manual_seed(3)
    stock = MODELS.build(RESNET)
    stock.init_weights()
    path = str(tmp_path / 'resnet.pth')
    torch.save(dict(state_dict=stock.state_dict()), path)
    module = dict(RESNET, init_cfg=dict(type='Pretrained', checkpoint=path))
    before = build(module, mask)
    masks = {i.name: copy.deepcopy(i.mask) for i in named_masks(before)}
    before.init_weights()
    loaded_first = MODELS.build(module)
    loaded_first.init_weights()
    after = build(loaded_first, mask)
    x = torch.randn(2, 3, 32, 32)
    for model in (before, after):
        assert_equal(weights_of(model), dict(stock.state_dict()))
        model.eval(), stock.eval()  # which give None
        with disable_masks(model):
            assert torch.equal(model(x)[0], stock(x)[0])
    for item in named_masks(before):  # not touched by the file
        kept = masks[item.name].state_dict()
        assert_equal(item.mask.state_dict(), kept)


def test_masked_layers_of_a_stock_backbone():
    cfg = dict(RESNET, conv_cfg=dict(type='mask_plugins.SoftMaskConv2d',
                                     mask_init=-0.1))  # fmt: skip
    model = MODELS.build(cfg)
    stock = MODELS.build(RESNET)
    assert weights_of(model).keys() == stock.state_dict().keys()
    convs = [m for m in stock.modules() if isinstance(m, nn.Conv2d)]
    masks = list(named_masks(model))
    assert len(masks) == len(convs)
    assert all(item.mask.init == -0.1 for item in masks)
    model.init_weights()
    assert classes(merge_masks(model)) == classes(stock)


# ----------------------------------------------------------------- the runner
class Anneal(Hook):
    """A temperature per iteration, and a ticket at the end."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for item in named_masks(runner.model):
            item.mask.temperature = 1.0 + runner.iter
            item.mask.ticket = runner.iter >= 5


class Watch(Hook):
    """The values while the averaged weights are validated."""

    def after_val_epoch(self, runner, metrics=None):
        masks = [item.mask for item in named_masks(runner.model)]
        self.temperatures = {float(mask.temperature) for mask in masks}
        self.tickets = {mask.ticket for mask in masks}


def test_ema_hook(tmp_path):
    """Weights and logits are averaged, what a schedule sets is not."""
    watch = Watch()
    runner = build_runner(
        tmp_path, hooks=[Anneal(), EMAHook(momentum=0.1), watch], model=Soft
    )
    runner.train()
    assert watch.temperatures == {6.0}
    assert watch.tickets == {True}
    path = tmp_path / 'epoch_2.pth'
    checkpoint = load(path)
    averaged = checkpoint['state_dict']
    source = checkpoint['ema_state_dict']
    for key, value in averaged.items():
        other = source[f'module.{key}']
        if key.endswith(('setting_bits', 'ticket_flag')):
            assert torch.equal(value, other)
            if key.endswith('bits'):
                assert value.view(torch.float64) == 6
        elif key.endswith(('weight', 'logits')):
            assert not torch.equal(value, other)


@pytest.mark.parametrize('update_buffers', [False, True])
def test_a_scheduled_value_is_never_averaged(tmp_path, update_buffers):
    """The checkpoint has the value that was validated, in both models."""
    schedule = dict(type='mask_plugins.LinearSchedule', start=0.9, end=0.3)
    hook = ScheduleHook('linear.0.weight_mask.threshold', schedule)
    ema = EMAHook(momentum=0.3, update_buffers=update_buffers)
    runner = build_runner(tmp_path, hooks=[ema, hook], model=Hidden)
    runner.train()
    value = runner.model.linear[0].weight_mask.threshold
    assert value != 0.9
    saved = load(tmp_path / 'epoch_2.pth')
    for part, start in (('state_dict', ''), ('ema_state_dict', 'module.')):
        bits = saved[part][f'{start}linear.0.weight_mask.setting_bits']
        assert bits.view(torch.float64) == value
    model = Hidden()
    model.load_state_dict(saved['state_dict'])
    assert model.linear[0].weight_mask.threshold == value


def test_a_stock_checkpoint_is_no_reason_to_warn(tmp_path):
    """Its missing keys are all of masks: said plainly, not as a fault."""
    path = str(tmp_path / 'stock.pth')
    stock = MODELS.build(RESNET).state_dict()
    torch.save(dict(state_dict=stock), path)
    logger = MMLogger.get_instance('stock', log_file=str(tmp_path / 'log'))
    model = build()
    load_checkpoint(model, path, logger=logger)
    assert_equal(weights_of(model), dict(stock))
    text = (tmp_path / 'log').read_text()
    assert 'masks: they keep their initial values' in text
    assert 'missing keys' not in text
    del model.conv1
    torch.save(dict(other=torch.ones(1)), path)
    load_checkpoint(model, path, logger=logger)
    assert 'missing keys' in (tmp_path / 'log').read_text()
