# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The golden values: where they lie, and what becomes of every key.

Values that the original implementations produced. ``MASK_PLUGINS_GOLDEN``
names another directory with files of the same keys.
"""

import json
import os
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple, Optional

VARIABLE = 'MASK_PLUGINS_GOLDEN'
BUNDLED = Path(__file__).parent / 'data'


class Fate(NamedTuple):
    """What becomes of a key."""

    kind: str  # 'test', 'non-goal', 'not built' or 'note'
    text: str  # the test's name, or the reason


def test(name: str) -> Fate:
    return Fate('test', name)


def non_goal(reason: str, name: str) -> Fate:
    """A recorded bug of the original; ``name`` tests what ours does."""
    return Fate('non-goal', f'{reason} -> {name}')


NOTE = Fate('note', 'says where the values come from')
WEIGHTS = Fate('not built', 'weight masks')
FEATURES = Fate('not built', 'masked features')
RETRIEVAL = Fate('not built', 'retrieval')

TABLE: Dict[str, Dict[str, Fate]] = {
    'pss': {
        'meta': NOTE,
        'schedules': test('test_schedule'),
        'schedule_histograms_*': test('test_histogram'),
        'loop_order_*': test('test_loop_order'),
        'keep_total_tokens_incl_cls': test('test_keep_count'),
        'drop_1.0': non_goal(
            'drop ratio 1 gives index lists of different lengths',
            'test_drop_ratio_one_is_an_error',
        ),
        'selection': test('test_selection'),
        'rel_index_*': test('test_relative_position_index'),
        'selected_bias_*': test('test_selected_bias'),
        'tiny_model': test('test_tiny_model'),
        'plain_vit_equals_pss_at_drop0_maxdiff': test('test_off_switch'),
        'pss_sorted_all_tokens_vs_unsorted_maxdiff': test('test_token_order'),
        'only_cls_left_mean_pool_logits': non_goal(
            'the mean over no patch is NaN', 'test_a_patch_always_stays'
        ),
        'gate': non_goal(
            'the gate has no network and raises', 'test_gate_works'
        ),
    },
    'continuous_sparsification_hgsl': {
        '_meta': NOTE,
        'compute_mask': WEIGHTS,
        'penalty': WEIGHTS,
        'prune': WEIGHTS,
        'prune_note': NOTE,
        'temp_schedule': WEIGHTS,
        'lr_schedule': WEIGHTS,
        'conv_fwd_bwd': WEIGHTS,
        'rewind': WEIGHTS,
        'sparsity_measure': WEIGHTS,
        'resnet': WEIGHTS,
        'verified_bugs': WEIGHTS,
        'tiny_run_*': WEIGHTS,
        'hgsl_loss': RETRIEVAL,
        'retrieval_metrics': RETRIEVAL,
    },
    'masked_feature': {
        'meta': NOTE,
        'inputs': FEATURES,
        'mask_counts': FEATURES,
        'masking': FEATURES,
        'masking_multi2': FEATURES,
        'kd_loss': FEATURES,
        'loss_msk': FEATURES,
        'mode_d': FEATURES,
        'inv_v3': FEATURES,
        'mode_sgd_equals_sgf': FEATURES,
        'mode_agd_equals_trainable_a': FEATURES,
        'loss_kd': FEATURES,
        'loss_ce': FEATURES,
        'loss_msk_zero_weight': FEATURES,
        'ema': FEATURES,
        'rankme': FEATURES,
        'rankme_zero_row': FEATURES,
        'lwf': FEATURES,
        'schedule': FEATURES,
    },
    'self_masking': {
        '_env': NOTE,
        '_fill': WEIGHTS,
        'get_subnet': WEIGHTS,
        'bug_topk_channels_last_mask_is_raw_scores': WEIGHTS,
        'threshold_nan_score_gives_nan': WEIGHTS,
        'tiny': WEIGHTS,
        'trajectory_*': WEIGHTS,
        'masked_linear': WEIGHTS,
        'masked_constant_layer': WEIGHTS,
        'scores_init': WEIGHTS,
        'knn_predict': WEIGHTS,
        'sinkhorn': WEIGHTS,
        'swav_loss': WEIGHTS,
        'bug_val_step_writes_queue': WEIGHTS,
        'lr': WEIGHTS,
        'subset_10p_of_50000': WEIGHTS,
        'expert_epochs': WEIGHTS,
        'mask_counts': WEIGHTS,
        'behaviours': WEIGHTS,
        'ensemble': WEIGHTS,
    },
}


def directory() -> Path:
    """Where the values are read from."""
    return Path(os.environ.get(VARIABLE) or BUNDLED)


def files() -> Dict[str, Dict[str, Any]]:
    """File name without suffix -> its keys and values."""
    return {
        path.stem: json.loads(path.read_text(encoding='utf-8'))
        for path in sorted(directory().glob('*.json'))
    }


def fate(file: str, key: str) -> Optional[Fate]:
    """What the table says of a key; None if it does not know it."""
    for pattern, found in TABLE.get(file, {}).items():
        if fnmatchcase(key, pattern):
            return found
    return None


def matching(file: str, pattern: str) -> Iterator:
    """The keys of a file that fit a pattern, with their values."""
    for key, value in files().get(file, {}).items():
        if fnmatchcase(key, pattern):
            yield key, value
