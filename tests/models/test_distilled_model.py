# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Distillation between layers of any two models."""

import copy
import pickle

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import nn

from mask_plugins.analysis.weights.extract_student import extract_student
from mask_plugins.functional.distillation import (
    distillation_loss,
    logit_distance,
)
from mask_plugins.models.distilled_model import build_distilled_model
from mask_plugins.models.penalized_model import add_mask_penalty
from mask_plugins.registry import MODELS

SAME = dict(type='mask_plugins.LogitLoss', student='body.1', teacher='body.1')
EMA = dict(type='mask_plugins.EMATeacher', momentum=0.5)


@MODELS.register_module()
class TinySegmentor(BaseModel):
    """Two convolutions and a head that is called per level."""

    def __init__(self, width=4, mask=False, **kwargs):
        super().__init__(**kwargs)
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width)
        )
        self.head = nn.Conv2d(width, 2, 1)
        self.unused = nn.Identity()

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.body(inputs)
        outs = [self.head(x), self.head(x[..., ::2, ::2])]
        if mode == 'loss':
            return dict(loss_own=sum(out.mean() for out in outs))
        return outs


def student(**options):
    torch.manual_seed(0)
    return TinySegmentor(**options)


def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 8, 8, generator=generator)


def file_of(model, tmp_path, **more):
    path = str(tmp_path / 'teacher.pth')
    torch.save(dict(state_dict={**model.state_dict(), **more}), path)
    return path


def frozen(path, **options):
    kind = 'mask_plugins.FrozenTeacher'
    return dict(type=kind, checkpoint=path, **options)


def wide(tmp_path):
    """A trained teacher that is twice as wide, and its config."""
    torch.manual_seed(7)
    model = TinySegmentor(8)
    cfg = dict(model=dict(type='mask_plugins.TinySegmentor', width=8))
    return model.eval(), frozen(file_of(model, tmp_path), config=cfg)


def test_losses_of_another_architecture(tmp_path):
    teacher, cfg = wide(tmp_path)
    losses = [
        dict(SAME, channels=(4, 8)),
        dict(
            type='mask_plugins.DistillationLoss',
            temperature=3.0,
            student='head',
            teacher='head',
        ),
    ]
    own = student()
    model = build_distilled_model(copy.deepcopy(own), cfg, losses)
    found = model(images(), mode='loss')
    assert list(found) == ['loss_own', 'loss_kd_0', 'loss_kd_1']
    assert found['loss_own'].equal(own(images(), mode='loss')['loss_own'])
    with torch.no_grad():
        mapped = model.distillation[0].connector(own.body(images()))
        expected = logit_distance(mapped, teacher.body(images()))
    torch.testing.assert_close(found['loss_kd_0'].detach(), expected)
    # The head is called twice: each call is compared with its own.
    pairs = zip(own(images()), teacher(images()))
    expected = [distillation_loss(*pair, temperature=3.0) for pair in pairs]
    expected = torch.stack(expected).mean()
    torch.testing.assert_close(found['loss_kd_1'], expected)
    sum(found.values()).backward()
    assert model.distillation[0].connector.weight.grad.any()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert not any(m._forward_hooks for m in model.modules())


def test_everything_else_is_the_student(tmp_path):
    _, cfg = wide(tmp_path)
    own = student()
    state = torch.get_rng_state()
    made = build_distilled_model(
        copy.deepcopy(own), cfg, [dict(SAME, channels=(4, 8))]
    )
    assert torch.get_rng_state().equal(state)
    own.eval(), made.eval()
    for one, other in zip(own(images()), made(images())):
        assert one.equal(other)
    assert isinstance(made, TinySegmentor)
    for key, value in own.state_dict().items():
        assert made.state_dict()[key].equal(value)
    weights = {k: v.clone() for k, v in made.teacher.state_dict().items()}
    made.init_cfg = dict(type='Constant', layer='Conv2d', val=0.0)
    made._is_init = False
    made.init_weights()
    assert not made.head.weight.any()
    for key, value in made.teacher.state_dict().items():
        assert value.equal(weights[key])


def test_a_moving_average_of_the_student():
    model = build_distilled_model(student(), EMA, [SAME])
    with pytest.warns(UserWarning, match='TeacherHook'):
        assert list(model(images(), mode='loss')) == ['loss_own']
    model.teacher.update(model.student_network())
    first = model.head.weight.detach().clone()
    with torch.no_grad():
        model.head.weight.add_(1)
    model.train()
    model(images(), mode='loss')  # its BatchNorm counts
    model.teacher.update(model.student_network())
    network = model.teacher.network
    torch.testing.assert_close(network.head.weight.detach(), first + 0.5)
    assert network.body[1].running_mean.equal(model.body[1].running_mean)
    assert not network.training
    assert not hasattr(network, 'teacher')


def test_copies_and_state():
    model = build_distilled_model(student(), EMA, [SAME])
    model.teacher.update(model.student_network())
    for one in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        found = one(images(), mode='loss')
        assert found['loss_kd_0'].equal(
            model(images(), mode='loss')['loss_kd_0']
        )
        one.load_state_dict(model.state_dict())
    model.copies_teacher = False
    average = copy.deepcopy(model)
    assert average.teacher is None
    with pytest.raises(RuntimeError, match='no teacher'):
        average(images(), mode='loss')
    # Weights of the stock model load, and leave the teacher as it is.
    missing = model.load_state_dict(student().state_dict(), strict=False)
    assert not missing.unexpected_keys


def test_with_masked_weights():
    """Also under a penalty, which is mixed in on top."""
    masked = dict(
        type='mask_plugins.MaskedModel',
        module=student(),
        mask=dict(type='mask_plugins.SoftMask'),
        rules=[('body.0.weight', 'mask')],
    )
    model = build_distilled_model(masked, EMA, [SAME])
    add_mask_penalty(model, 0.1)
    model.teacher.update(model.student_network())
    model.train()
    found = model(images(), mode='loss')
    assert sorted(found) == ['loss_kd_0', 'loss_mask', 'loss_own']
    sum(found.values()).backward()
    assert model.body[0].weight_mask.logits.grad.any()


@pytest.mark.parametrize('over', ['channels', 'positions'])
def test_maps_count_one_sample_per_row(over):
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.randn(2, 3, 5, 4, 6, generator=generator)
    rows = [x.movedim(1, -1).reshape(-1, 5) for x in (pred, target)]
    if over == 'positions':
        rows = [x.reshape(15, 24) for x in (pred, target)]
    expected = distillation_loss(*rows)
    found = distillation_loss(pred, target, softmax_over=over)
    assert found.equal(expected)
    if over == 'channels':
        for kind in ('l1', 'l2', 'cosine'):
            expected = logit_distance(*rows, kind, softmax=True)
            found = logit_distance(pred, target, kind, softmax=True)
            torch.testing.assert_close(found, expected)
    else:
        with pytest.raises(ValueError, match=r'one shape \(N, C, \*\)'):
            distillation_loss(*rows, softmax_over=over)


@pytest.mark.parametrize(
    ('losses', 'error', 'message'),
    [
        ([], ValueError, 'at least one loss'),
        ([dict(SAME, student='bodi')], ValueError, 'student has no layer'),
        ([dict(SAME, teacher='bodi')], ValueError, 'teacher has no layer'),
        ([dict(type='mask_plugins.LogitLoss', student='head')],
         ValueError, 'name a layer of the teacher'),
        ([dict(SAME, channels=4)], TypeError, 'channels must be two'),
        (['l2'], TypeError, 'a loss must be a dict'),
        ([dict(SAME, kind='l3')], ValueError, 'kind must be'),
    ],
)  # fmt: skip
def test_refused_losses(losses, error, message):
    with pytest.raises(error, match=message):
        build_distilled_model(student(), EMA, losses)


@pytest.mark.parametrize(
    ('layers', 'message'),
    [
        (dict(student='unused'), "student must be a layer that.*'unused'"),
        (dict(teacher='unused'), "teacher must be a layer that.*'unused'"),
        (dict(student='head'), 'gave 2 tensors.*teacher 1'),
        (dict(teacher='body.0', channels=(4, 6)), 'give channels='),
    ],
)
def test_layers_that_do_not_fit(layers, message):
    model = build_distilled_model(student(), EMA, [{**SAME, **layers}])
    model.teacher.update(model.student_network())
    with pytest.raises(ValueError, match=message):
        model(images(), mode='loss')
    assert not any(m._forward_hooks for m in model.modules())


def test_refused_teachers(tmp_path):
    kind = 'mask_plugins.EnsembleTeacher'
    cases = [
        (dict(type=kind, checkpoints='a.pth'), TypeError, 'FrozenTeacher'),
        (frozen(str(tmp_path / 'none.pth')), FileNotFoundError, 'none.pth'),
        (frozen('a.pth', config=dict(head=1)), TypeError, 'model of the conf'),
        (frozen(file_of(student(width=2), tmp_path)), ValueError,
         'does not fit the teacher'),
        (3, TypeError, 'teacher must be'),
    ]  # fmt: skip
    for teacher, error, message in cases:
        with pytest.raises(error, match=message):
            build_distilled_model(student(), teacher, [SAME])


def test_a_teacher_that_was_distilled_itself(tmp_path):
    """What its file has of its own teacher is not used."""
    first = build_distilled_model(student(), EMA, [SAME])
    path = file_of(first, tmp_path)
    model = build_distilled_model(student(), frozen(path), [SAME])
    assert model.teacher.active
    assert model(images(), mode='loss')['loss_kd_0'] >= 0


def test_the_student_alone_as_a_stock_checkpoint(tmp_path):
    module = dict(type='mask_plugins.TinySegmentor', width=4)
    wrapper = dict(type='mask_plugins.DistilledModel', module=module)
    cfg = Config(dict(model=dict(wrapper, teacher=EMA, losses=[SAME])))
    model = build_distilled_model(student(), EMA, [SAME])
    model.teacher.update(model.student_network())
    with torch.no_grad():
        model.head.weight.add_(1)
    path = file_of(model, tmp_path)
    found = extract_student(cfg, path)
    assert found.stock.cfg.model.to_dict() == module
    own = model.state_dict()
    for key, value in student().state_dict().items():
        assert found.state_dict[key].shape == value.shape
        assert found.state_dict[key].equal(own[key])
    assert found.report['dropped']['teacher'] > found.report['elements']
    assert found.report['dropped']['tokens'] == 0
    taught = extract_student(cfg, path, 'teacher').state_dict['head.weight']
    assert taught.equal(model.teacher.network.head.weight)
