# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""SwAV and the cascade of Self-Masking Networks against their values."""

import torch

from mask_plugins.analysis.cascade.experts import expert_length
from mask_plugins.functional.combine import METHODS
from mask_plugins.functional.sinkhorn import sinkhorn
from mask_plugins.models.heads import SwAVHead
from mask_plugins.models.necks import ProjectionNeck

from .golden import bump, close, named, wave
from .test_self_masking import golden


@golden('sinkhorn', assignments=bump('q'))
def test_sinkhorn(case):
    # The original computes in fp32.
    scores = wave((6, 4), 0.77, 0.2)
    found = sinkhorn(scores, case['epsilon'], case['iters'])
    close(found, case['q'], 1e-6, 1e-8)


def projection():
    neck = ProjectionNeck(3, 4).double()
    neck.fc.weight.data = wave((4, 3), 0.4, 0.2)
    neck.fc.bias.data = wave((4,), 0.4, 0.9)
    return neck


def head(length):
    made = SwAVHead(4, 5, num_crops=[2, 2], queue_length=length).double()
    made.prototypes.weight.data = wave((5, 4), 0.9, 0.5)
    return made


def crops(step):
    """Two large ones, then two small ones."""
    return [
        torch.cat(
            [
                wave((2, 3, size, size), a * (i + 1), b * i + 0.5 * step)
                for i in range(2)
            ]
        )
        for size, a, b in ((8, 0.031, 0.2), (4, 0.043, 0.7))
    ]


@golden(
    'swav_loss',
    loss=bump('steps', 0, 'loss', by=1e-6),
    gradient=bump('steps', 4, 'grad_fc', by=1e-6),
    queue=bump('queue0', by=1e-6),
)
def test_swav_loss(case):
    neck, swav = projection(), head(case['queue_length'])
    for step, wanted in enumerate(case['steps']):
        swav.queue_on = wanted['fill_queue']
        full = int(swav.queued) >= case['queue_length']
        assert (swav.queue_on and full) == wanted['use_queue']
        loss = swav.loss(neck(crops(step)))
        neck.zero_grad()
        loss.backward()
        close(loss, wanted['loss'])
        close(neck.fc.weight.grad, wanted['grad_fc'])
    close(swav.queue[0], case['queue0'])


@golden.instead('bug_val_step_writes_queue')
def test_evaluation_leaves_the_queue_alone():
    neck, swav = projection(), head(6)
    swav.queue_on = True
    swav.eval()
    swav.loss(neck(crops(0)))
    assert int(swav.queued) == 0
    assert not swav.queue.any()


@golden('expert_epochs', '{name}', named, epochs=bump('value', 'E'))
def test_expert_epochs(case):
    wanted, size = case['value'], int(case['name'])
    found = expert_length(size)
    assert found.epochs == wanted['E']
    close(found.queue_start, wanted['queue'])


@golden.instead('ensemble')
def test_combinations_have_the_names_of_the_original():
    """Its inputs are not recorded; tests/analysis compares the formulas."""
    names = golden.need('ensemble')['knn_accuracy']
    assert set(names) == set(METHODS)
