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
    reason: str
    test: str = ''  # module.function within this package


def test(name: str) -> Fate:
    return Fate('test', 'is compared', name)


def non_goal(reason: str, name: str) -> Fate:
    """A recorded bug of the original; ``name`` tests what ours does."""
    return Fate('non-goal', reason, name)


NOTE = Fate('note', 'says where the values come from')
SELF_SUPERVISED = Fate('not built', 'self-supervised masking')
CASCADE = Fate('not built', 'the cascade of masked models')

TABLE: Dict[str, Dict[str, Fate]] = {
    'pss': {
        'meta': NOTE,
        'schedules': test('test_pss.test_schedule'),
        'schedule_histograms_*': test('test_pss.test_histogram'),
        'loop_order_*': test('test_pss.test_loop_order'),
        'keep_total_tokens_incl_cls': test('test_pss.test_keep_count'),
        'drop_1.0': non_goal(
            'drop ratio 1 gives index lists of different lengths',
            'test_pss.test_drop_ratio_one_is_an_error',
        ),
        'selection': test('test_pss.test_selection'),
        'rel_index_*': test('test_pss.test_relative_position_index'),
        'selected_bias_*': test('test_pss.test_selected_bias'),
        'tiny_model': test('test_pss.test_tiny_model'),
        'plain_vit_equals_pss_at_drop0_maxdiff': test(
            'test_pss.test_off_switch'
        ),
        'pss_sorted_all_tokens_vs_unsorted_maxdiff': test(
            'test_pss.test_token_order'
        ),
        'only_cls_left_mean_pool_logits': non_goal(
            'the mean over no patch is NaN',
            'test_pss.test_a_patch_always_stays',
        ),
        'gate': non_goal(
            'the gate has no network and raises', 'test_pss.test_gate_works'
        ),
    },
    'continuous_sparsification_hgsl': {
        '_meta': NOTE,
        'compute_mask': test('test_continuous_sparsification.test_mask'),
        'penalty': test('test_continuous_sparsification.test_penalty'),
        'prune': test('test_continuous_sparsification.test_prune'),
        'prune_note': NOTE,
        'temp_schedule': test('test_cs_training.test_temperature_schedule'),
        'lr_schedule': test('test_cs_training.test_lr_schedule'),
        'conv_fwd_bwd': test('test_continuous_sparsification.test_conv'),
        'rewind': test('test_continuous_sparsification.test_rewind'),
        'sparsity_measure': test(
            'test_continuous_sparsification.test_sparsity'
        ),
        'resnet': test('test_cs_training.test_resnet20_counts'),
        'verified_bugs': non_goal(
            'each is a bug of the original',
            'test_continuous_sparsification.test_verified_bug',
        ),
        'tiny_run_*': test('test_cs_training.test_tiny_run'),
        'hgsl_loss': test('test_hgsl.test_loss'),
        'retrieval_metrics': test('test_hgsl.test_retrieval'),
    },
    'masked_feature': {
        'meta': NOTE,
        'inputs': test('test_masked_feature.test_inputs'),
        'mask_counts': test('test_masked_feature.test_mask_counts'),
        'masking': test('test_masked_feature.test_masking'),
        'masking_multi2': test('test_masked_feature.test_masking'),
        'kd_loss': test('test_masked_feature.test_kd_loss'),
        'loss_msk': test('test_masked_feature.test_loss_msk'),
        'mode_d': non_goal(
            'the head crashes with dropout',
            'test_masked_feature.test_mode_d',
        ),
        'inv_v3': non_goal(
            'an unknown name is found late',
            'test_masked_feature.test_unknown_inverse',
        ),
        'mode_sgd_equals_sgf': test('test_masked_feature.test_aliases'),
        'mode_agd_equals_trainable_a': non_goal(
            'agd, meant to be gradient-free, trains its tokens',
            'test_masked_feature.test_aliases',
        ),
        'loss_kd': test('test_masked_feature.test_loss_kd'),
        'loss_ce': test('test_masked_feature.test_loss_ce'),
        'loss_msk_zero_weight': non_goal(
            'the cross entropy counts twice',
            'test_masked_feature.test_zero_weight',
        ),
        'ema': test('test_teachers.test_ema'),
        'rankme': test('test_features.test_rankme'),
        'rankme_zero_row': non_goal(
            'a row of zeros gives NaN and crashes',
            'test_features.test_rankme_of_a_zero_row',
        ),
        'lwf': test('test_lwf.test_lwf'),
        'schedule': test('test_teachers.test_schedule'),
    },
    'self_masking': {
        '_env': NOTE,
        '_fill': NOTE,
        'get_subnet': test('test_self_masking.test_get_subnet'),
        'bug_topk_channels_last_mask_is_raw_scores': non_goal(
            'topk of channels_last scores gives the scores as their mask',
            'test_self_masking.test_topk_of_channels_last',
        ),
        'threshold_nan_score_gives_nan': non_goal(
            'a score of NaN gives a mask of NaN',
            'test_self_masking.test_nan_is_off',
        ),
        'tiny': test('test_self_masking.test_tiny'),
        'trajectory_*': test('test_smn_training.test_trajectory'),
        'masked_linear': test('test_smn_training.test_masked_linear_head'),
        'masked_constant_layer': test(
            'test_smn_training.test_masked_constant_head'
        ),
        'scores_init': test('test_self_masking.test_scores_init'),
        'knn_predict': test('test_features.test_knn_predict'),
        'sinkhorn': SELF_SUPERVISED,
        'swav_loss': SELF_SUPERVISED,
        'bug_val_step_writes_queue': SELF_SUPERVISED,
        'lr': test('test_smn_training.test_lr'),
        'subset_10p_of_50000': test('test_smn_training.test_label_subset'),
        'expert_epochs': CASCADE,
        'mask_counts': test('test_self_masking.test_mask_counts'),
        'behaviours': non_goal(
            'most are bugs of the original',
            'test_self_masking.test_behavior',
        ),
        'ensemble': CASCADE,
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
