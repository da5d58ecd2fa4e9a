# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tokens: scores, counts, selection, gather, bias, gate."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mask_plugins.core import tokens as T


class TestKeepCount:
    @pytest.mark.parametrize(
        ('tokens', 'ratio', 'kept'),
        [(197, 0.8, 39), (197, 0.2, 158), (577, 0.6, 231), (17, 0.95, 2)],
    )
    def test_counts_on_tokens(self, tokens, ratio, kept):
        assert T.keep_count(tokens, ratio) == kept

    def test_counts_on_patches(self):
        assert T.keep_count(197, 0.8, count_on='patches') == 1 + 39
        assert T.keep_count(198, 0.8, 2, 'patches') == 2 + 39

    @pytest.mark.parametrize('count_on', ['tokens', 'patches'])
    @pytest.mark.parametrize('prefix', [0, 1, 2])
    def test_bounds(self, count_on, prefix):
        for ratio in (0.0, 0.3, 0.999):
            kept = T.keep_count(10, ratio, prefix, count_on)
            assert prefix + 1 <= kept <= 10
        assert T.keep_count(10, 0.0, prefix, count_on) == 10

    def test_ratio_of_numpy(self):
        assert T.keep_count(10, np.float32(0.5)) == 5

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            *(((10, r), rf'in \[0, 1\), got {r}') for r in (-0.1, 1.0, 1.5)),
            *(((10, r), 'ratio must be a number') for r in ('1', None, True)),
            ((1, 0.0), 'leaves 0 patches'),
            ((10, 0.0, 1, 'images'), "count_on .* 'images'"),
        ],
    )
    def test_bad_input(self, arguments, message):
        with pytest.raises((TypeError, ValueError), match=message):
            T.keep_count(*arguments)


class TestSelection:
    def test_prefix_first_then_best_first(self):
        scores = torch.tensor([[0.1, 0.9, 0.5], [3.0, 2.0, 1.0]])
        kept = T.select_tokens(scores, 4, num_prefix_tokens=2)
        assert kept.tolist() == [[0, 1, 3, 4], [0, 1, 2, 3]]

    def test_index_order(self):
        scores = torch.tensor([[0.1, 0.9, 0.5, 0.7]])
        kept = T.select_tokens(scores, 3, 0, order='index')
        assert kept.tolist() == [[1, 2, 3]]

    def test_ties_keep_the_lower_index(self):
        scores = torch.zeros(1, 50)
        kept = T.select_tokens(scores, 11)
        assert kept.tolist() == [list(range(11))]

    def test_bad_input(self):
        scores = torch.zeros(1, 5)
        with pytest.raises(ValueError, match="order .* 'best'"):
            T.select_tokens(scores, 3, order='best')
        with pytest.raises(ValueError, match=r'num_keep .* \[1, 6\], got 9'):
            T.select_tokens(scores, 9)

    def test_half_precision_scores_are_computed_in_fp32(self):
        x = torch.rand(2, 30, 64).bfloat16()
        for score in (T.score_magnitude, T.score_l2_magnitude):
            assert score(x).dtype == torch.float32
            assert torch.equal(score(x), score(x.float()))

    def test_a_blank_image_is_no_problem(self):
        scores = T.score_magnitude(torch.zeros(1, 9, 4))
        assert T.select_tokens(scores, 4).tolist() == [[0, 1, 2, 3]]


class TestGather:
    def test_round_trip(self):
        x = torch.rand(2, 6, 3)
        index = torch.tensor([[0, 3, 1], [0, 5, 4]])
        kept = T.gather_tokens(x, index)
        assert torch.equal(kept[1, 1], x[1, 5])
        full = T.scatter_tokens(kept, index, 6, fill=-1.0)
        assert torch.equal(T.gather_tokens(full, index), kept)
        assert (full[0, [2, 4, 5]] == -1).all()

    def test_gradient_reaches_kept_tokens_only(self):
        x = torch.rand(1, 4, 3, requires_grad=True)
        T.gather_tokens(x, torch.tensor([[0, 2]])).sum().backward()
        assert x.grad[0, :, 0].tolist() == [1.0, 0.0, 1.0, 0.0]


class TestPositionBias:
    def test_selected_equals_the_whole_indexed(self):
        """In value, and in the gradient of the table."""
        index = T.relative_position_index((3, 4))
        table = torch.rand(int(index.max()) + 1, 5, dtype=torch.float64)
        table.requires_grad_()
        kept = torch.tensor([[0, 7, 3], [0, 1, 12]])
        whole = T.gather_position_bias(table, index)[0]  # H, N, N
        pairs = T.select_index_pairs(index, kept)
        selected = T.gather_position_bias(table, pairs)
        expected = torch.stack([whole[:, row][:, :, row] for row in kept])
        assert torch.equal(selected, expected)
        weight = torch.rand(2, 5, 3, 3, dtype=torch.float64)
        gradients = [
            torch.autograd.grad((bias * weight).sum(), table)
            for bias in (selected, expected)
        ]
        torch.testing.assert_close(*gradients)


class TestGate:
    def test_factor_is_one_with_a_gradient(self):
        gate = T.TokenGate(8)
        scores, factor = gate(torch.rand(2, 5, 8))
        assert scores.shape == factor.shape == (2, 5)
        assert (factor == 1).all()
        factor.sum().backward()
        assert gate.fc2.weight.grad.abs().sum() > 0

    def test_no_nan_where_the_sigmoid_underflows(self):
        gate = T.TokenGate(8)
        nn.init.constant_(gate.fc2.bias, -1000.0)
        _, factor = gate(torch.rand(2, 5, 8))
        assert (factor == 1).all()

    def test_learns_which_tokens_matter(self):
        """The class stands in one token of twelve, which is the weakest.

        Magnitude keeps the loud distractors, so it can only guess; a gate
        that learns finds the quiet token.
        """
        torch.manual_seed(0)
        classes, patches, width, kept = 4, 12, 16, 3
        gate = T.TokenGate(width)
        head = nn.Linear(width, classes)
        parameters = [*gate.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=1e-2)
        codes = torch.eye(classes, width)
        marker = torch.zeros(width)
        marker[-1] = 1.0

        def batch(size=128):
            x = torch.randn(size, patches, width) * 3
            x[..., -1] = 0
            labels = torch.randint(classes, (size,))
            place = torch.randint(patches, (size,))
            x[torch.arange(size), place] = codes[labels] + marker
            return x, labels, place

        for _ in range(300):
            x, labels, _ = batch()
            scores, factor = gate(x)
            index = T.select_tokens(scores, kept, 0)
            x = T.gather_tokens(x * factor[..., None], index)
            loss = nn.functional.cross_entropy(head(x.mean(1)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        x, _, place = batch(1000)
        found = T.select_tokens(gate(x)[0], kept, 0) == place[:, None]
        loud = T.select_tokens(T.score_magnitude(x), kept, 0)
        assert found.any(1).float().mean() > 0.9
        assert (loud == place[:, None]).any(1).float().mean() < 0.1


class TestCost:
    def test_is_what_torch_counts_in_a_block(self):
        n, width, heads = 17, 48, 3
        tokens = torch.ones(n, width)
        with FlopCounterMode(display=False) as counter:
            qkv = tokens @ torch.ones(width, 3 * width)
            q, k, v = qkv.reshape(n, 3, heads, -1).permute(1, 2, 0, 3)
            mixed = ((q @ k.mT) @ v).transpose(0, 1).reshape(n, width)
            projected = mixed @ torch.ones(width, width)
            hidden = projected @ torch.ones(width, 4 * width)
            hidden @ torch.ones(4 * width, width)
        assert 2 * T.block_macs(n, width) == counter.get_total_flops()

    def test_deit_small(self):
        # 4.6 G multiply-adds in all, 0.06 of them in the patch embedding.
        assert 12 * T.block_macs(197, 384) == pytest.approx(4.54e9, rel=2e-3)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda x, i: T.select_tokens(x[0, 0], 1), 'scores must be real'),
        (lambda x, i: T.select_tokens(x[0] * 1j, 1), 'scores .*complex64'),
        (lambda x, i: T.gather_tokens(x, i.float()), 'index must be int64'),
        (lambda x, i: T.gather_tokens(x, i.int()), 'got torch.int32'),
        (lambda x, i: T.gather_tokens(x, i[0]), r'\(B, N, C\) and \(B, n\)'),
        (lambda x, i: T.gather_tokens(x[0], i), r'got \(3, 4\) and \(2, 3\)'),
        (lambda x, i: T.gather_tokens(x, i[:1]), 'index must have a row per'),
        (lambda x, i: T.scatter_tokens(x, i[:1], 5), 'index must have a row'),
        (lambda x, i: T.scatter_tokens(x, i[:, :2], 5), 'a place each'),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    """Torch broadcasts or cuts some of it without a word."""
    index = torch.tensor([[0, 1, 2]]).expand(2, -1)
    with pytest.raises((TypeError, ValueError), match=message):
        call(torch.randn(2, 3, 4), index)
