# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A teacher of several checkpoints."""

from pathlib import Path

import pytest
import torch

from .test_reference_classifier import (
    BACKBONE,
    LINEAR,
    STOCK,
    batch,
    build,
    masked,
    stock,
)


def members(tmp_path, head=LINEAR):
    paths, models = [], []
    for seed in range(2):
        torch.manual_seed(seed)
        model = stock(head)
        paths.append(str(tmp_path / f'{seed}.pth'))
        torch.save(dict(state_dict=model.state_dict()), paths[-1])
        models.append(model.eval())
    return paths, models


def ensemble(paths, **options):
    kind = 'mask_plugins.EnsembleTeacher'
    return dict(type=kind, checkpoints=paths, **options)


def test_ensemble(tmp_path):
    paths, models = members(tmp_path)
    state = torch.get_rng_state()
    # As path-likes; a token of a masked run in the file is not used.
    saved = torch.load(paths[0], weights_only=True)
    saved['state_dict']['head.mask_token'] = torch.zeros(1, 1)
    torch.save(saved, paths[0])
    model = build(masked(), ensemble([Path(path) for path in paths]))
    x, samples = batch()
    expected = sum(m(x) for m in models) / 2
    torch.testing.assert_close(model.teacher.logits(x), expected)
    assert model.loss(x, samples)['loss_msk'] > 0
    assert model.teacher.due(0) is False
    # Its members draw nothing that the student would miss.
    torch.set_rng_state(state)
    build(masked(), ensemble(paths[:1]))
    once = torch.rand(1)
    torch.set_rng_state(state)
    build(masked(), ensemble(paths, config=dict(model=STOCK)))
    assert once.equal(torch.rand(1))


def test_a_checkpoint_that_does_not_fit(tmp_path):
    wide = dict(LINEAR, num_classes=5)
    paths, _ = members(tmp_path, wide)
    with pytest.raises(
        ValueError, match=r'(?s)0.pth.*head.fc.weight.*\[5, 32\]'
    ):
        build(teacher=ensemble(paths))
    torch.save(dict(state_dict=stock().state_dict()), paths[0])
    stages = dict(num_stages=3, strides=(1, 2, 2), dilations=(1,) * 3)
    shallow = dict(
        backbone=dict(BACKBONE, out_indices=(2,), **stages),
        head=dict(LINEAR, in_channels=16),
    )
    with pytest.raises(
        ValueError, match=r'(?s)Unexpected .*backbone.layer4.*conf'
    ):
        build(teacher=ensemble(paths, config=dict(model=shallow)))
    torch.save(dict(state_dict=dict(a=torch.ones(1))), paths[0])
    with pytest.raises(ValueError, match='(?s)Missing .*backbone.*config'):
        build(teacher=ensemble(paths))
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        build(teacher=ensemble('nowhere.pth'))
    with pytest.raises(ValueError, match='at least one'):
        build(teacher=ensemble([]))
    paths, _ = members(tmp_path)
    with pytest.raises(ValueError, match="EnsembleTeacher must.* got 'head'"):
        build(teacher=ensemble(paths), scope='head')
    with pytest.raises(TypeError, match='model.head of the config'):
        build(teacher=ensemble(paths, config=dict(backbone=BACKBONE)))
