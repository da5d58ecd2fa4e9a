# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The head of HGSL, the necks and models around it."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample

from mask_plugins.models.heads import HardGlobalSoftminHead
from mask_plugins.models.necks import MaxAvgPooling

BACKBONE = dict(type='mask_plugins.CIFARResNet', depth=8)
NECK = dict(type='mask_plugins.MaxAvgPooling')
HEAD = dict(
    type='mask_plugins.HardGlobalSoftminHead', num_classes=5, in_channels=128
)


def samples(labels):
    return [DataSample().set_gt_label(label) for label in labels]


def test_as_a_classification_head():
    head = HardGlobalSoftminHead(5, 6, cal_acc=True)
    feats = (torch.randn(4, 6),)
    losses = head.loss(feats, samples([0, 1, 2, 3]))
    assert set(losses) == {
        'loss_hgs', 'loss_dec', 'alpha', 'scale', 'accuracy_top-1'
    }  # fmt: skip
    assert losses['scale'] == pytest.approx(100)
    predicted = head.predict(feats)
    nearest = torch.cdist(F.normalize(feats[0]), head.centers()).argmin(1)
    assert [int(p.pred_label) for p in predicted] == nearest.tolist()
    assert predicted[0].pred_score.sum().item() == pytest.approx(1)


@pytest.mark.parametrize('top_k', [None, 0, 1, 3, 5])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, None])
def test_finite_in_any_precision(top_k, dtype):
    head = HardGlobalSoftminHead(5, 64, top_k, alpha_init=1e-3)
    feats = 1e3 * torch.randn(8, 64)
    feats = feats.to(dtype or torch.float32).requires_grad_()
    with torch.autocast('cpu', torch.bfloat16, enabled=dtype is not None):
        losses = head.loss((feats,), samples([0, 1, 2, 3, 4, 0, 1, 2]))
    loss = losses['loss_hgs'] + losses['loss_dec']
    assert loss.dtype == torch.float32
    loss.backward()
    assert loss.isfinite()
    assert feats.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize(
    ('weights', 'feats'),
    [(torch.bfloat16, torch.bfloat16), (torch.float32, torch.float64)],
)
def test_weights_of_another_precision_than_the_embedding(weights, feats):
    head = HardGlobalSoftminHead(5, 6).to(weights)
    x = torch.randn(4, 6, dtype=feats)
    losses = head.loss((x,), samples([0, 1, 2, 3]))
    (losses['loss_hgs'] + losses['loss_dec']).backward()
    assert head.weight.grad.isfinite().all()
    assert head((x,)).dtype == torch.promote_types(feats, torch.float32)


def test_margin_without_and_with_effect():
    feats, targets = (torch.randn(8, 6),), samples([0, 1, 2, 3, 4, 0, 1, 2])
    state = HardGlobalSoftminHead(5, 6).state_dict()
    values = []
    for options in (dict(), dict(margin=0.0), dict(hard_margin=0.2)):
        head = HardGlobalSoftminHead(5, 6, **options)
        head.load_state_dict(state)
        values.append(head.loss(feats, targets)['loss_hgs'].item())
    assert values[1] == pytest.approx(values[0], rel=1e-5)
    assert values[2] > values[0]
    # it is a distance, which the scale multiplies
    assert values[2] - values[0] <= 0.2 * 100 + 1e-3


def test_alpha_only_grows_at_k_1():
    head = HardGlobalSoftminHead(5, 6)
    losses = head.loss((torch.randn(8, 6),), samples([0] * 8))
    losses['loss_hgs'].backward()
    assert head.alpha.grad < 0
    held = HardGlobalSoftminHead(5, 6, alpha_bounds=(0.01, 0.1))
    held.loss((torch.randn(8, 6),), samples([0] * 8))['loss_hgs'].backward()
    assert held.alpha.grad == 0  # at its upper bound
    fixed = HardGlobalSoftminHead(5, 6, alpha_trainable=False)
    assert not fixed.alpha.requires_grad
    with torch.no_grad():
        head.alpha.fill_(-3.0)  # whatever an optimizer does
    assert head.scale().item() == pytest.approx(10 / 1e-3)


def test_l2_centers_stay_on_the_sphere():
    head = HardGlobalSoftminHead(5, 6, center_norm='l2')
    with torch.no_grad():
        head.weight.mul_(7)
    torch.testing.assert_close(head.centers().norm(dim=1), torch.ones(5))
    assert head.gain is None


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(top_k=6), r'top_k must be an int in \[0, 5\].* got 6'),
        (dict(top_k=-1), 'top_k must be an int'),
        (dict(alpha_init=0.0), 'alpha_init must be a number in'),
        (dict(alpha_bounds=(0.2, 1.0)), r'alpha_init .* \[0.2, 1.0\]'),
        (dict(alpha_bounds=(0.0, 1.0)), 'alpha_bounds.* above 0'),
        (dict(center_norm='batch'), 'center_norm must be one of'),
        (dict(hard_margin=-1.0), 'hard_margin must be a number of at least 0'),
        (dict(num_classes=0), 'num_classes must be an int of at least 1'),
        (dict(eps=float('nan')), 'eps must be .* finite'),
        (dict(loss_weight=float('inf')), 'loss_weight must be .* finite'),
    ],
)
def test_what_is_refused(options, message):
    options = dict(dict(num_classes=5, in_channels=6), **options)
    with pytest.raises(ValueError, match=message):
        HardGlobalSoftminHead(**options)


def test_inputs_that_are_refused():
    head = HardGlobalSoftminHead(5, 6)
    with pytest.raises(ValueError, match='add a neck'):
        head((torch.randn(2, 6, 3, 3),))
    mixed = [DataSample().set_gt_score(torch.full((5,), 0.2))]
    with pytest.raises(ValueError, match='Mixup'):
        head.loss((torch.randn(1, 6),), mixed)


def test_copies_and_files():
    head = HardGlobalSoftminHead(5, 6)
    feats = (torch.randn(4, 6),)
    head.loss(feats, samples([0, 1, 2, 3]))['loss_hgs'].backward()
    assert torch.equal(copy.deepcopy(head)(feats), head(feats))
    file = io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    other = HardGlobalSoftminHead(5, 6)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(feats), head(feats))


# -------------------------------------------------------------------- necks
def test_max_then_average():
    x = torch.randn(2, 3, 4, 5)
    (found,) = MaxAvgPooling()((x,))
    assert torch.equal(found, torch.cat((x.amax((2, 3)), x.mean((2, 3))), 1))
    unit = MaxAvgPooling(l2=True)(x)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(2))
    with pytest.raises(ValueError, match='feature maps'):
        MaxAvgPooling()(torch.randn(2, 3))


def test_scda_pools_where_there_is_something():
    x = torch.zeros(1, 2, 2, 2)
    x[0, :, 0, 0] = torch.tensor([4.0, 2.0])
    neck = MaxAvgPooling(scda=True)
    assert neck(x).tolist() == [[4, 2, 1, 0.5]]  # not while training
    assert neck.eval()(x).tolist() == [[4, 2, 4, 2]]
    flat = torch.ones(1, 2, 2, 2)
    assert neck(flat).tolist() == [[1, 1, 1, 1]]


# ------------------------------------------------------------------- models
def test_embedder_is_a_stock_classifier():
    parts = dict(backbone=BACKBONE, neck=NECK, head=HEAD)
    model, stock = (
        MODELS.build(copy.deepcopy(dict(type=kind, **parts))).eval()
        for kind in ('mask_plugins.ImageEmbedder', 'ImageClassifier')
    )
    stock.load_state_dict(model.state_dict())
    x = torch.randn(3, 3, 8, 8)
    (feature,) = model.extract_feat(x)
    found = model(x, samples([0, 1, 2]), mode='predict')
    unit = torch.stack([sample.embedding for sample in found])
    torch.testing.assert_close(unit, F.normalize(feature))
    assert 'pred_label' not in found[0]
    assert int(found[2].gt_label) == 2
    assert 'embedding' in model(x, mode='predict')[0]
    model.classify = True
    found = model(x, mode='predict')
    theirs = stock(x, mode='predict')
    for sample, other in zip(found, theirs):
        assert sample.pred_label == other.pred_label
    torch.manual_seed(1)
    ours = model.loss(x, samples([0, 1, 2]))
    assert ours['loss_hgs'] == stock.loss(x, samples([0, 1, 2]))['loss_hgs']


def test_in_a_retriever():
    parts = dict(image_encoder=[BACKBONE, NECK], head=HEAD)
    parts.update(type='ImageToImageRetriever', prototype=torch.randn(7, 128))
    retriever = MODELS.build(copy.deepcopy(parts))
    x = torch.randn(3, 3, 8, 8)
    assert retriever.loss(x, samples([0, 1, 2]))['loss_hgs'].isfinite()
    found = retriever.eval().predict(x, samples([0, 1, 2]))
    assert found[0].pred_score.shape == (7,)


def pml_head(loss, miner=None):
    pytest.importorskip('pytorch_metric_learning')
    options = dict(num_classes=4, in_channels=6, loss=loss, miner=miner)
    return MODELS.build(dict(type='mask_plugins.PMLLossHead', **options))


COSINE = dict(
    distance=dict(type='CosineSimilarity'), reducer=dict(type='MeanReducer')
)
MEMORY = dict(loss=dict(type='ContrastiveLoss'), memory_size=16)


@pytest.mark.parametrize(
    ('loss', 'options', 'miner'),
    [
        ('ProxyNCALoss', {}, None),
        ('ProxyAnchorLoss', {}, None),
        ('ArcFaceLoss', {}, None),
        ('MultiSimilarityLoss', {}, dict(type='MultiSimilarityMiner')),
        ('TripletMarginLoss', COSINE, None),
        ('CrossBatchMemory', MEMORY, None),
    ],
)
def test_losses_of_pytorch_metric_learning(loss, options, miner):
    head = pml_head(dict(options, type=loss), miner=miner)
    feats = torch.randn(8, 6).requires_grad_()
    loss = head.loss((feats,), samples([0, 0, 1, 1, 2, 2, 3, 3]))['loss']
    loss.backward()
    assert loss.isfinite()
    assert feats.grad.any()
    with pytest.raises(NotImplementedError, match='ImageEmbedder'):
        head.predict((feats,))


def test_unknown_loss():
    with pytest.raises(ValueError, match="got 'NoLoss'"):
        pml_head(dict(type='NoLoss'))
