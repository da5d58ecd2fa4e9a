# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""PSSHook(batch='budget') in a toy Runner, in both loops."""

import json

import pytest
import torch
from mmengine.hooks import Hook

from mask_plugins.core.tokens import keep_count
from mask_plugins.engine.hooks import PSSHook, ScheduleHook

from ..common.runs import log_of
from .test_resumed_length import Stop
from .test_schedule_hook import CYCLIC, LINEAR, Toy
from .toys import build_runner

TOKENS = 10
BUDGET = dict(type='mask_plugins.TokenBudgetSampler')
RATE = dict(
    type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True
)


class Look(Hook):
    """What each iteration uses."""

    priority = 'LOWEST'

    def __init__(self):
        self.images, self.rates, self.ratios, self.epochs = [], [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.images.append([int(x) for x in data_batch['x']])
        self.rates.append(runner.optim_wrapper.param_groups[0]['lr'])
        self.ratios.append(runner.model.backbone.drop_ratio)
        self.epochs.append(runner.epoch)


def train(
    folder,
    hook,
    *hooks,
    batch_sampler=BUDGET,
    loader=None,
    grid=(3, 3),
    model=None,
    **kwargs,
):
    """12 full batches of one image per epoch, of 10 tokens each."""
    look, model = Look(), model or Toy()
    model.backbone.patch_resolution = grid
    runner = build_runner(
        folder,
        [hook, *hooks, look, dict(type='mask_plugins.TrainLogHook')],
        model=lambda: model,
        loader=dict(
            batch_size=1, batch_sampler=batch_sampler, **(loader or {})
        ),
        optimizer=dict(type='SGD', lr=0.1),
        **kwargs,
    )
    runner.train()
    return runner, look


def log(folder):
    with open(folder / 'train_log.json') as file:
        return [json.loads(line) for line in file]


def positions(look):
    """Full batches before each iteration."""
    fed = [0]
    for images in look.images:
        fed.append(fed[-1] + len(images))
    return fed


@pytest.mark.parametrize('schedule', [CYCLIC, LINEAR])
def test_epochs(tmp_path, schedule):
    hook = PSSHook(schedule, batch='budget')
    seed = dict(type='mask_plugins.SeedHook')
    runner, look = train(tmp_path, hook, seed, epochs=3)
    for epoch in range(3):
        pairs = zip(look.epochs, look.images)
        seen = [image for e, images in pairs if e == epoch for image in images]
        assert sorted(seen) == list(range(12))
    count = len(look.images)
    assert runner.iter == runner.max_iters == count < 36
    fed = positions(look)
    value = hook.schedule.resolve(36, 12).value
    assert look.ratios == [value(t) for t in fed[:-1]]
    for images, ratio, end in zip(look.images, look.ratios, fed[1:]):
        most = TOKENS // keep_count(TOKENS, ratio)
        assert len(images) == most or (end % 12 == 0 and len(images) < most)
    assert max(map(len, look.images)) == 5
    lines = log(tmp_path)
    assert [line['batch_size'] for line in lines] == list(
        map(len, look.images)
    )
    assert [line['epoch'] for line in lines] == look.epochs
    text = log_of(tmp_path)
    assert f'{count} iterations in place of 36' in text
    assert 'batch_size: ' in text


def test_rate_is_a_function_of_the_images(tmp_path):
    """By epoch or by iteration, chained: that of the run without a budget."""
    warmup = dict(type='LinearLR', start_factor=0.1, end=5, by_epoch=False)
    rates = [warmup, dict(RATE, begin=1)]
    fixed, grown = (
        train(tmp_path / batch, PSSHook(LINEAR, batch=batch), **more)[1]
        for batch, more in (
            ('fixed', dict(batch_sampler=None, param_scheduler=rates)),
            ('budget', dict(param_scheduler=rates)),
        )
    )
    assert len(fixed.rates) == 24 > len(grown.rates)
    expected = [fixed.rates[t] for t in positions(grown)[:-1]]
    assert grown.rates == pytest.approx(expected, rel=1e-12)


def test_rate_scaled_with_the_batch(tmp_path):
    hook = PSSHook(LINEAR, batch='budget', scale_lr=True)
    _, look = train(tmp_path, hook)
    sizes = list(map(len, look.images))
    assert look.rates == pytest.approx([0.1 * size for size in sizes])
    assert [line['lr'] for line in log(tmp_path)] == pytest.approx(look.rates)
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)
    assert saved['optimizer']['param_groups'][0]['lr'] == 0.1


@pytest.mark.parametrize('seeded', [True, False])
@pytest.mark.parametrize('name', ['DefaultSampler', 'InfiniteSampler'])
def test_iteration_loop(tmp_path, name, seeded):
    """max_iters counts full batches; intervals count iterations."""
    hooks = [dict(type='mask_plugins.SeedHook')] if seeded else []
    hook = PSSHook(dict(CYCLIC, period=12), batch='budget')
    runner, look = train(
        tmp_path,
        hook,
        *hooks,
        loop='iter',
        epochs=10,
        sampler=dict(type=name, shuffle=True),
        checkpoint=dict(by_epoch=False, interval=5),
    )
    fed = positions(look)
    assert fed[-2] < 30 <= fed[-1]
    assert runner.iter == runner.max_iters == len(look.images) < 30
    value = hook.schedule.resolve(30, 12).value
    assert look.ratios == [value(t) for t in fed[:-1]]
    flat = [image for images in look.images for image in images]
    assert sorted(flat[:12]) == sorted(flat[12:24]) == list(range(12))
    assert (tmp_path / 'iter_5.pth').exists()
    assert [line['batch_size'] for line in log(tmp_path)] == list(
        map(len, look.images)
    )


def test_workers_do_not_matter(tmp_path):
    runs = []
    for workers in (0, 2):
        hook = PSSHook(CYCLIC, batch='budget')
        loader = dict(num_workers=workers, persistent_workers=workers > 0)
        more = dict(loader=loader, loop='iter', epochs=6)
        runs.append(train(tmp_path / str(workers), hook, **more)[1].images)
    assert runs[0] == runs[1]


def test_by_epoch(tmp_path):
    hook = PSSHook(LINEAR, batch='budget', by_epoch=True)
    _, look = train(tmp_path, hook, epochs=2)
    pairs = set(zip(look.epochs, look.ratios))
    assert pairs == {(0, 0.8), (1, 0.4)}


@pytest.mark.parametrize('loop', ['epoch', 'iter'])
@pytest.mark.parametrize('first', [True, False])
def test_another_schedule_follows_the_images(tmp_path, loop, first):
    """Wherever its hook stands; epochs are of unlike numbers of batches."""
    hook = PSSHook(LINEAR, batch='budget')
    other = ScheduleHook('backbone.temperature', CYCLIC, probe=False)
    hooks = [other, hook] if first else [hook, other]
    _, look = train(tmp_path, *hooks, loop=loop, epochs=12)
    length = 144 if loop == 'epoch' else 36
    value = other.schedule.resolve(length, 12).value
    expected = [value(t) for t in positions(look)[:-1]]
    found = [line['temperature'] for line in log(tmp_path)]
    assert found == pytest.approx(expected, rel=2**-24)  # a float32


def test_a_run_of_another_length(tmp_path):
    """Epochs of unlike numbers of batches: the position is that of images."""
    kwargs = dict(param_scheduler=[RATE])
    hook = PSSHook(LINEAR, batch='budget')
    with pytest.raises(InterruptedError):
        train(tmp_path, hook, Stop(), epochs=3, **kwargs)
    hook = PSSHook(LINEAR, batch='budget')
    _, look = train(tmp_path, hook, epochs=4, resume=True, **kwargs)
    hook = PSSHook(LINEAR, batch='budget')
    _, whole = train(tmp_path / 'whole', hook, epochs=4, **kwargs)
    count = whole.epochs.index(2)
    assert look.rates == pytest.approx(whole.rates[count:])
    assert look.ratios == whole.ratios[count:]
    assert [len(i) for i in look.images] == [
        len(i) for i in whole.images[count:]
    ]


class TestBadInput:
    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (dict(batch='grow'), "batch .* 'grow'"),
            (dict(scale_lr=True), 'scale_lr=True contradicts'),
            (dict(batch='budget', unit='update'), 'contradicts'),
        ],
    )
    def test_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            PSSHook(**arguments)

    def test_another_batch_sampler(self, tmp_path):
        hook = PSSHook(batch='budget')
        with pytest.raises(TypeError, match='TokenBudgetSampler'):
            train(tmp_path, hook, batch_sampler=None)

    def test_scaled_rate_under_accumulation(self, tmp_path):
        hook = PSSHook(batch='budget', scale_lr=True)
        with pytest.raises(ValueError, match='accumulative_counts=2'):
            train(tmp_path, hook, accumulate=2)

    def test_tokens_that_come_back(self, tmp_path):
        model = Toy()
        model.backbone.return_after = 2
        with pytest.raises(ValueError, match='return_after=None, got 2'):
            train(tmp_path, PSSHook(batch='budget'), model=model)

    def test_no_grid(self, tmp_path):
        with pytest.raises(ValueError, match='Backbone has no patch_resol'):
            train(tmp_path, PSSHook(batch='budget'), grid=None)
