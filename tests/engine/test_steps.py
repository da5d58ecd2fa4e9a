# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""One step of every method: on ranks, in parts, in bfloat16."""

import json
from functools import partial
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from torch import nn
from torch.distributed.nn import functional as joint

from mask_plugins.apis.model import build_model
from mask_plugins.models.penalized_model import add_mask_penalty
from mask_plugins.registry import DATASETS

from ..common.methods import METHODS, method_config
from ..common.processes import run_ranks

BATCH = 8
SAFETY = 100  # norms divide by small deviations
# What is drawn in a step is another number on each rank; the noise of masked
# features is handled in `step`.
FIXED = {
    'pss': {
        'model.backbone.drop_rate': 0.0,
        'model.backbone.drop_path_rate': 0.0,
        'model.backbone.drop_ratio': 0.4,
    },
    'pass': {'model.head.budget': 0.9, 'model.head.max_skip_ratio': 0.1},
}
FIXED['pss-budget'] = FIXED['pss']
# Crops of an image are in tests/models/test_selfsup.py.
CASES = {name: FIXED.get(name, {}) for name in METHODS if name != 'smn-swav'}


def joint_norm(norm, x):
    """BatchNorm over all ranks; torch's SyncBatchNorm needs GPUs."""
    dims = [0, *range(2, x.ndim)]
    mean = joint.all_reduce(x.mean(dims, True)) / dist.get_world_size()
    square = (x - mean).square().mean(dims, True)
    variance = joint.all_reduce(square) / dist.get_world_size()
    shape = (1, -1) + (1,) * (x.ndim - 2)
    x = (x - mean) / (variance + norm.eps).sqrt()
    return x * norm.weight.view(shape) + norm.bias.view(shape)


def use_joint_norms(model):
    for module in model.modules():
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if norm and module.training:
            module.forward = partial(joint_norm, module)


def prepare(method, **options):
    """A model in the midst of training, and a batch."""
    init_default_scope('mmpretrain')
    options = {**CASES[method], **options}
    cfg = method_config(method, counts=(2 * BATCH, 8), **options)
    torch.manual_seed(0)
    model = build_model(cfg)
    model.init_weights()
    if getattr(model, 'teacher', None) is not None:
        model.teacher.update(model.student_network())
        for parameter in model.student_network().parameters():
            parameter.data.add_(0.01 * torch.randn_like(parameter))
    if method == 'cs':
        add_mask_penalty(model, 0.01)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    data = pseudo_collate([dataset[i] for i in range(BATCH)])
    data = model.data_preprocessor(data, training=True)
    if 'lwf' in method:  # it has learned the first task
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        head = model.head if method == 'lwf' else model.head.head
        head.set_classes(0, 10)
        for loss in (model.kd_loss, getattr(model.head, 'mask_loss', None)):
            if hasattr(loss, 'set_classes'):
                loss.set_classes(5, 10)
    return model.train(), data['inputs'], data['data_samples']


def step(model, inputs, samples, rows=slice(None)):
    """The sum of the losses of some rows of a batch."""

    def draw(shape, **kwargs):
        generator = torch.Generator().manual_seed(1)
        noise = torch.empty(BATCH, *shape[1:]).uniform_(generator=generator)
        return noise[rows].to(inputs.dtype)

    part = None if samples is None else samples[rows]
    with mock.patch.multiple(
        torch, rand=draw, rand_like=lambda x: draw(x.shape)
    ):
        losses = model(inputs[rows], part, mode='loss')
    return sum(v for k, v in losses.items() if 'loss' in k)


def gradients(model):
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.requires_grad
    }


def differences(found, expected):
    """Largest error, relative to the largest of all gradients."""
    assert set(found) == set(expected)
    assert expected
    scale = max(float(value.abs().max()) for value in expected.values())
    assert scale > 0
    errors = [(found[k] - expected[k]).abs().max() for k in expected]
    return float(max(errors)) / scale


def rank_of_two(path):
    """Half of the batch each, against all of it, in double precision."""
    found = {}
    for method in CASES:
        model, inputs, samples = prepare(method)
        if method != 'pass':  # whose gates are of single precision
            model, inputs = model.double(), inputs.double()
        step(model, inputs, samples).backward()
        expected = gradients(model)
        model.zero_grad()
        use_joint_norms(model)
        half = BATCH // 2
        rows = slice(half * dist.get_rank(), half * (dist.get_rank() + 1))
        step(model, inputs, samples, rows).backward()
        own = gradients(model)
        for value in own.values():  # as DistributedDataParallel
            dist.all_reduce(value)
            value /= dist.get_world_size()
        found[method] = differences(own, expected)
    if dist.get_rank() == 0:
        with open(path, 'w') as file:
            json.dump(found, file)


@pytest.fixture(scope='module')
def errors(tmp_path_factory):
    path = tmp_path_factory.mktemp('ranks') / 'errors.json'
    run_ranks(rank_of_two, path)
    return json.loads(path.read_text())


@pytest.mark.ddp
@pytest.mark.parametrize('method', CASES)
def test_two_ranks_have_the_gradient_of_the_joint_batch(errors, method):
    # 21 layers, each with sums of at most 9 * 512 numbers.
    digits = 24 if method == 'pass' else 53
    assert errors[method] < 21 * (9 * 512) ** 0.5 * 2**-digits * SAFETY


@pytest.mark.parametrize('method', ['pss', 'cs'])
def test_accumulated_halves_have_the_gradient_of_the_batch(method):
    """The penalty on the masks counts once."""
    model, inputs, samples = prepare(method)
    model, inputs = model.double(), inputs.double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()  # the statistics of a half are others
    step(model, inputs, samples).backward()
    expected = gradients(model)
    model.zero_grad()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    wrapper = OptimWrapper(optimizer, accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    wrapper.zero_grad = lambda **kwargs: None
    for rows in (slice(0, BATCH // 2), slice(BATCH // 2, None)):
        with wrapper.optim_context(model):
            wrapper.update_params(step(model, inputs, samples, rows))
    rounding = 21 * (9 * 512) ** 0.5 * 2**-53
    assert differences(gradients(model), expected) < rounding * SAFETY


@pytest.mark.parametrize('method', CASES)
def test_a_step_in_bfloat16_is_finite(method):
    model, inputs, samples = prepare(method)
    with torch.autocast('cpu', torch.bfloat16):
        loss = step(model, inputs, samples)
    loss.backward()
    assert loss.isfinite()
    assert loss.dtype == torch.float32
    found = gradients(model)
    assert found
    assert all(value.isfinite().all() for value in found.values())
