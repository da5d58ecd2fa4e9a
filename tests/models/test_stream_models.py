# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Gated backbones, pre-training, fine-tuning and sparse inference."""

import copy

import cv2
import numpy as np
import pytest
import torch
from mmpretrain.models import ImageClassifier, ResNet
from mmpretrain.structures import DataSample

from mask_plugins.core.patches import gates_of, set_running_mode
from mask_plugins.datasets import VideoClips
from mask_plugins.datasets.transforms import PackClip
from mask_plugins.models.backbones import GatedResNet
from mask_plugins.registry import MODELS
from tests.common.rounding import error, rounding

NET = dict(depth=18, base_channels=8, stem_channels=8)
CLS = dict(
    type='mask_plugins.StreamClassifier',
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=64),
)


def gated(gate='threshold', **options):
    return dict(
        type='mask_plugins.GatedResNet',
        **NET,
        gate=gate,
        patch_sizes=(4, 4, 2, 2),
        **options,
    )


def classifier(gate='threshold', backbone=None, **options):
    backbone = backbone or gated(gate)
    model = MODELS.build(dict(CLS, backbone=backbone, **options))
    for module in model.modules():  # statistics that are not trivial
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1)
    if 'running_mode' not in options:
        set_running_mode(model, 'Test')
        model.eval()
    return model


def clips(batch=2, length=4, size=64, moving=True):
    """A bright square that moves over noise that does not."""
    x = torch.randn(batch, 1, 3, size, size).expand(-1, length, -1, -1, -1)
    x = x.clone()
    for t in range(length):
        at = 8 + 4 * t * moving
        x[:, t, :, 8:20, at : at + 12] = 3
    return x


def macs(record):
    """Of all layers: dense, computed, of the gates."""
    return [sum(column) for column in zip(*record['macs'].values())]


def labels(batch=2):
    return [DataSample().set_gt_label(i % 3) for i in range(batch)]


# ------------------------------------------------------------------ backbones
@pytest.mark.parametrize('place', ['block', 'stage', 'conv'])
def test_unbound_it_is_the_stock_network(place):
    ours = MODELS.build(gated('pooled', place=place))
    stock = ResNet(**NET)
    missing = stock.load_state_dict(ours.state_dict(), strict=False)
    assert not missing.missing_keys
    assert all('.gate.' in key for key in missing.unexpected_keys)
    x = torch.randn(2, 3, 64, 64)
    for mode in (False, True):
        ours.train(mode)
        stock.train(mode)
        assert torch.equal(ours(x)[-1], stock(x)[-1])
    count = len({id(gate) for gate in gates_of(ours)})
    assert count == {'block': 9, 'stage': 5, 'conv': 20}[place]


def test_gates_by_conv_cfg_and_by_wrapper():
    options = dict(gate=dict(type='pooled', patch_size=4))
    layer = dict(type='mask_plugins.GatedConv2d', **options)
    by_cfg = MODELS.build(dict(type='ResNet', **NET, conv_cfg=layer))
    assert len(list(gates_of(by_cfg))) == 20
    module = dict(type='ResNet', **NET)
    cfg = dict(type='mask_plugins.GatedModel', module=module, place='conv')
    wrapped = MODELS.build(dict(cfg, gate='exact'))
    assert isinstance(wrapped, ResNet)
    assert len(list(gates_of(wrapped))) == 20


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(place='layer'), 'place'),
        (dict(patch_sizes=(4, 4)), 'patch_sizes must be 4'),
        (dict(gate='thresh'), 'thresh'),
        (dict(rules=[('layer9.*', 'skip')]), 'layer9'),
    ],
)
def test_bad_backbones(option, message):
    with pytest.raises(ValueError, match=message):
        GatedResNet(**NET, **option)


# ------------------------------------------------------------------ inference
@pytest.mark.parametrize('place', ['block', 'conv'])
def test_the_exact_gate_equals_dense_on_every_frame(place):
    model = classifier(
        backbone=gated('exact', place=place), compare_dense=True
    )
    for sample in model(clips(length=6), labels(), mode='predict'):
        record = sample.stream_record
        assert max(record['relative_l2']) < rounding(model)
        away = error(record['scores'], record['dense_scores'])
        assert away < rounding(model)
        assert record['scores'].shape == (6, 3)
        dense, computed, _ = macs(record)
        assert 0 < computed <= dense


def test_a_still_stream_skips_and_a_stream_goes_on():
    model = classifier('exact')
    x = clips(1, 4, moving=False)

    def run(frame, stream='camera'):
        sample = DataSample(metainfo=dict(stream=stream, frame=frame))
        (out,) = model(x, [sample], mode='predict')
        dense, done, _ = macs(out.stream_record)
        return done / dense

    assert run(0) == pytest.approx(1 / 4)  # the first frame in full
    assert run(4) == 0  # it continues
    assert run(12) == pytest.approx(1 / 4)  # frames are missing
    assert run(0, 'another') == pytest.approx(1 / 4)
    # two clips of one video in a batch are two streams
    samples = [DataSample(metainfo=dict(stream='camera')) for _ in range(2)]
    for out in model(x.expand(2, -1, -1, -1, -1), samples, mode='predict'):
        assert len(out.stream_record['scores']) == 4


def test_a_stream_of_every_second_frame_goes_on(tmp_path):
    for number in range(16):
        frame = np.full((64, 64, 3), 100, np.uint8)
        cv2.imwrite(str(tmp_path / f'{number:02d}.png'), frame)
    dataset = VideoClips(
        str(tmp_path), clip_len=4, frame_step=2, pipeline=[PackClip()]
    )
    assert len(dataset) == 2
    model = classifier('exact')
    done = []
    for clip in dataset:
        x = clip['inputs'].float()[None]
        (out,) = model(x, [clip['data_samples']], mode='predict')
        done.append(macs(out.stream_record)[1])
    assert done[0] > 0 == done[1]


def test_an_image_classifier_takes_its_weights_and_images():
    model = classifier('pooled')
    stock = ImageClassifier(
        backbone=dict(type='ResNet', **NET), neck=CLS['neck'], head=CLS['head']
    )
    stock.load_state_dict(model.state_dict(), strict=False)
    stock.eval()
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(model(x), stock(x))
    assert model(x, labels(), mode='predict')[0].pred_score.shape == (3,)
    assert model(clips()).shape == (8, 3)
    with pytest.raises(ValueError, match=r'inputs must be clips'):
        model(x[0])


def test_feature_extractor():
    kind = 'mask_plugins.StreamFeatureExtractor'
    extractor = MODELS.build(dict(type=kind, backbone=gated('exact'))).eval()
    x = clips(2, 3)
    (feats,) = extractor(x)
    assert feats.shape == (2, 3, 64, 2, 2)
    expected = extractor.backbone(x.flatten(0, 1))[-1]
    assert error(feats.flatten(0, 1), expected) < rounding(extractor)
    assert list(extractor.session.states) == []
    extractor.step(x[:1, 0], ['a'])
    extractor.step(x[:, 1], ['b', 'a'])  # one joins, one moves
    assert list(extractor.session.states) == ['a', 'b']
    assert extractor.session.macs('a')
    extractor.reset(['a'])
    assert list(extractor.session.states) == ['b']
    for wrong in (['a'], ['a', 'a']):
        with pytest.raises(ValueError, match='state|names'):
            extractor.step(x[:, 0], wrong)
    with pytest.raises(ValueError, match='takes clips'):
        extractor(x[:, 0])
    with pytest.raises(RuntimeError, match='training mode'):
        extractor.train().step(x[:, 0], ['a', 'b'])


def test_streams_keep_their_slots_in_batches_of_any_order():
    kind = 'mask_plugins.StreamFeatureExtractor'
    extractor = MODELS.build(dict(type=kind, backbone=gated('exact'))).eval()
    names, x = ['a', 'b', 'c'], torch.randn(3, 3, 3, 32, 32)  # T, B, C, H, W

    def places():
        states = extractor.session.states.values()
        slots = [slot for state in states for slot in state.slots.values()]
        return [(id(slot.memory), slot.row) for slot in slots]

    before = []
    for t, order in enumerate(([0, 1, 2], [2, 0, 1], [1, 2, 0])):
        batch = [names[i] for i in order]
        feats = extractor.step(x[t][order], batch)
        before = before or places()
        assert places() == before
        dense = extractor.backbone(x[t][order])
        for found, wanted in zip(feats, dense):
            assert error(found, wanted) < rounding(extractor.backbone)
    extractor.step(x[0][:2], names[:2])
    extractor.step(x[0][order], batch)
    with pytest.raises(ValueError, match='different names'):
        extractor.step(x[0], ['a', 'a', 'b'])
    with pytest.raises(ValueError, match='one state per sample'):
        extractor.step(x[0], ['a', 'b'])


def test_a_copy_has_its_own_network():
    model = classifier('exact')
    twin = copy.deepcopy(model)
    x = clips(1)
    first = model(x, labels(1), mode='predict')[0].pred_score
    for parameter in model.parameters():
        parameter.data.zero_()
    assert torch.equal(twin(x, labels(1), mode='predict')[0].pred_score, first)
    assert not any('state' in key for key in model.state_dict())


# ------------------------------------------------------------------- training
def gradients(model):
    return {key for key, p in model.named_parameters() if p.grad is not None}


def pretrainer(gate, **options):
    cfg = dict(type='mask_plugins.PASSPretrainer', backbone=gated(gate))
    return MODELS.build(dict(cfg, **options)).train()


def step(model, x, samples=None):
    losses = model(x, samples, mode='loss')
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    return losses


def test_only_gates_learn_in_pretraining():
    model = pretrainer('pooled')
    before = copy.deepcopy(model.state_dict())
    losses = step(model, clips())
    assert 0 <= float(losses['skip_ratio']) <= 1
    assert {'loss_triplet', 'loss_budget'} <= losses.keys()
    found = gradients(model)
    assert found
    assert all('.gate.' in key for key in found)
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert any(gate.training for gate in gates_of(model))
    with pytest.raises(ValueError, match='at least two frames'):
        model(clips(length=1), mode='loss')


def test_the_budget_is_learned():
    head = dict(type='mask_plugins.PASSLoss', budget=0.8)
    model = pretrainer(dict(type='pooled', init_skip_ratio=0.2), head=head)
    gates = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(gates, lr=0.05)
    ratios = []
    for _ in range(15):
        optimizer.zero_grad()
        ratios.append(float(step(model, clips())['skip_ratio']))
        optimizer.step()
    assert ratios[-1] > ratios[0] + 0.2


def test_only_the_network_learns_in_fine_tuning():
    options = dict(running_mode='FineTuning', distill_weight=1.0)
    frozen = gated('pooled', frozen_stages=1)
    model = classifier(backbone=frozen, **options).train()
    losses = step(model, clips(), labels())
    assert {'loss', 'loss_distill', 'skip_ratio'} <= losses.keys()
    found = gradients(model)
    assert 'backbone.layer4.1.conv2.weight' in found
    assert not any('.gate.' in key for key in found)
    # what its user froze stays frozen, in every mode
    for mode in ('GatePreTrain', 'FineTuning', 'BackboneTrain'):
        set_running_mode(model, mode)
        frozen = dict(model.named_parameters())
        assert not frozen['backbone.conv1.weight'].requires_grad
        assert not frozen['backbone.layer1.0.conv1.weight'].requires_grad
    first = model(clips(), labels(), mode='loss')
    assert first.keys() == {'loss'}


@pytest.mark.parametrize('kind', ['StreamClassifier', 'PASSPretrainer'])
def test_bad_models(kind):
    cfg = dict(CLS if kind == 'StreamClassifier' else {})
    cfg['type'] = f'mask_plugins.{kind}'
    with pytest.raises(ValueError, match='no gated layers'):
        MODELS.build(dict(cfg, backbone=dict(type='ResNet', **NET)))
    rgb = dict(data_preprocessor=dict(to_rgb=True))
    with pytest.raises(ValueError, match='to_rgb'):
        MODELS.build(dict(cfg, backbone=gated(), **rgb))
    with pytest.raises(ValueError, match='distill_weight'):
        classifier(distill_weight=-1)
    with pytest.raises(ValueError, match='running_mode'):
        classifier(running_mode='Tset')


def test_bfloat16_halves_the_state():
    clip = torch.randn(1, 1, 3, 64, 64).repeat(1, 3, 1, 1, 1)
    found = {}
    for dtype in ('fp32', 'bf16'):
        torch.manual_seed(0)
        model = classifier(dtype=dtype)
        (sample,) = model(clip, mode='predict')
        (state,) = model._session.states.values()
        # What is known of changes is a float per pixel in both.
        slots = state.slots.values()
        changes = sum(slot.memory.change_bytes() for slot in slots)
        found[dtype] = state.memory_bytes() - changes, sample.pred_score
        assert sample.pred_score.dtype is torch.float32
    assert found['fp32'][0] == 2 * found['bf16'][0]
    torch.testing.assert_close(
        found['fp32'][1], found['bf16'][1], atol=0.02, rtol=0
    )
    with pytest.raises(ValueError, match='dtype'):
        classifier(dtype='fp16')
