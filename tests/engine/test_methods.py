# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Every method, on one process and on two, through tools/train.py."""

import shutil
import signal

import pytest

from mask_plugins.engine.checkpoint.own_checkpoints import MARK
from mask_plugins.engine.checkpoint.run_state import EXIT_PREEMPTED, read_state

from ..common.methods import METHODS, train
from ..common.processes import metrics_of
from ..common.runs import assert_same_run, load_last, log_lines

# After the checkpoint of the second epoch, in an uneven epoch of 5 or 3
# iterations; of 4 or 2 where the last batch is dropped or batches grow.
DEATH = {1: 12, 2: 8}
SHORT_DEATH = {1: 10, 2: 5}
TWO_ROUNDS = {
    'default_hooks.sparsification.rounds': 2,
    'default_hooks.sparsification.ticket_epochs': 2,
    'train_cfg.max_epochs': 6,
}
LEVEL = dict(
    type='mask_plugins.ScheduleHook',
    target='backbone.**.keep_ratio',
    schedule=dict(type='mask_plugins.LinearSchedule', start=0.9, end=0.3),
)
TOP_K = {
    'model.backbone.mask': dict(
        _delete_=True,
        type='mask_plugins.ScoreMask',
        init='kaiming',
        criterion='topk',
        keep_ratio=0.9,
    ),
    'hooks': [LEVEL],
}
EMA_TEACHER = dict(type='mask_plugins.EMATeacher', momentum=0.2, begin=1)
TRANSFORMER = {
    'model.type': 'mask_plugins.ReferenceClassifier',
    'model.teacher': EMA_TEACHER,
    'model.train_cfg': dict(augments=dict(type='Mixup', alpha=0.8)),
    'model.head': dict(
        _delete_=True,
        type='mask_plugins.MaskedFeatureHead',
        mask_multi=2,
        mask_loss='cosine',
        head=dict(type='LinearClsHead', num_classes=10, in_channels=24),
    ),
    'hooks': [dict(type='mask_plugins.TeacherHook')],
}
# What else a method can do: options, and where it dies.
VARIANTS = {
    'cs, second round': ('cs', TWO_ROUNDS, 17),
    'cs, ticket begins': ('cs', TWO_ROUNDS, 21),
    'cs, ticket': ('cs', TWO_ROUNDS, 27),
    'smn, top k': ('smn', TOP_K, 12),
    # The teacher ends outside the resumed epoch: it is in the checkpoint.
    'kd, kept': ('self-kd', {'model.teacher.interval': 5}, 12),
    'kd, before': ('self-kd', {'model.teacher.begin': 2}, 7),
    'ema, of updates': (
        'masked-feature-ema',
        {
            'optim_wrapper.accumulative_counts': 5,
            'model.head.mask_mode': 'a',
            'model.head.inv_mode': 'v2',
        },
        13,
    ),
    'ema, head': (
        'masked-feature-ema',
        {
            'model.scope': 'head',
            'model.head.inv_mode': 'v1',
            'model.teacher.mode': 'anne',
            'model.teacher.gamma': 2,
        },
        12,
    ),
    'transformer': ('pss', TRANSFORMER, 12),
    'lwf, ema': (
        'lwf',
        {'model.teacher': dict(EMA_TEACHER, begin=0, _delete_=True)},
        12,
    ),
    # The teacher must not be taken again, from a model that has moved.
    'lwf, task begins': ('lwf', {}, 11),
}
FAST = [
    ('masked-feature-ema', 2),
    ('smn', 1),
    ('kd, kept', 1),
    ('cs, second round', 1),
    ('lwf, task begins', 1),
]
SLOW = [
    (case, ranks)
    for case in [*METHODS, *VARIANTS]
    for ranks in ([1, 2] if case in METHODS else [1])
    if (case, ranks) not in FAST
]


def end_at(iteration, **more):
    return dict(type='mask_plugins.EndHook', iteration=iteration, **more)


@pytest.mark.parametrize(
    ('case', 'ranks'),
    [*FAST, *[pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]],
)
def test_resumed_is_uninterrupted(tmp_path, case, ranks):
    """Also: equal ranks, and the validation of the model that is saved.

    On two ranks the first alone finds the newest checkpoint damaged.
    """
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    method, options, death = VARIANTS.get(case, (case, {}, DEATH[ranks]))
    if method in ('pass', 'pss-budget'):
        death = SHORT_DEATH[ranks]
    options = dict(options)
    hooks = options.pop('hooks', [])
    if case == 'masked-feature-ema':
        hooks = [dict(type='EMAHook', momentum=0.3)]
    if ranks == 2 and method != 'cs':
        # A token that is not used yet has a gradient all the same.
        options['find_unused_parameters'] = False
    train(whole, method, ranks=ranks, hooks=hooks, **options)
    end = end_at(death)
    if case == 'lwf, task begins':
        end.update(name='SIGTERM')
    # One that is killed first may give the other an error.
    code = EXIT_PREEMPTED if 'name' in end else None
    train(
        killed, method, ranks=ranks, hooks=[*hooks, end], code=code, **options
    )
    newest = killed / 'epoch_2.pth'
    if ranks == 2 and (killed / 'epoch_1.pth').exists():
        newest.write_bytes(newest.read_bytes()[:1000])
    output = train(
        killed, method, '--resume', ranks=ranks, hooks=hooks, **options
    )
    assert 'resumed epoch' in output
    assert_same_run(killed, whole)
    for path in whole.glob('*[xt].json'):  # accuracy_matrix, mask_report
        assert (killed / path.name).read_text() == path.read_text()
    if method != 'pass' and ranks == 2:
        checkpoint = (whole / 'last_checkpoint').read_text()
        found = metrics_of(checkpoint, tmp_path / 'whole.py', tmp_path / 't')
        line = log_lines(whole, 'val_log.json')[-1]
        shared = set(found) & set(line)
        assert shared
        for key in shared:
            # Sums of at most 45 numbers of single precision in another order.
            assert found[key] == pytest.approx(line[key], rel=45 * 2**-24), key


@pytest.mark.ddp
def test_a_signal_to_one_of_two_processes_stops_both(tmp_path):
    """In the same iteration; then one process can go on."""
    work_dir = tmp_path / 'run'
    method, end = 'masked-feature-ema', end_at(5, rank=1, name='SIGTERM')
    train(work_dir, method, ranks=2, hooks=[end], code=EXIT_PREEMPTED)
    state = read_state(work_dir)
    assert (state['iteration'], state['reason']) == (5, 'got SIGTERM')
    first, second = load_last(work_dir)['meta'][MARK]['buffers']
    assert not any(first.values())
    assert any('running_mean' in key for key in second['model'])
    alone = tmp_path / 'alone'
    shutil.copytree(work_dir, alone)
    (alone / 'last_checkpoint').write_text(str(alone / 'iter_5.pth'))
    train(work_dir, method, '--resume', ranks=2)
    train(tmp_path / 'whole', method, ranks=2)
    assert_same_run(work_dir, tmp_path / 'whole')
    # After 2 of 3 batches of the second epoch, which now has 5.
    output = train(alone, method, '--resume')
    assert 'resumed epoch: 1, iter: 8' in output
    assert 'by another number of processes' in output


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.parametrize('method', METHODS)
def test_a_dead_rank_ends_the_other(tmp_path, method):
    end = end_at(2, rank=1)
    code = [1, -signal.SIGKILL]
    output = train(tmp_path / 'run', method, ranks=2, hooks=[end], code=code)
    assert 'another process of this run has ended or hangs' in output


@pytest.mark.ddp
@pytest.mark.slow
def test_a_rank_that_hangs_ends_the_other(tmp_path):
    """The timeout of the config says when; all processes begin within it."""
    end = end_at(2, rank=1, name='SIGSTOP')
    output = train(
        tmp_path / 'run', 'ce', ranks=2, hooks=[end],
        code=[1, -signal.SIGKILL], **{'env_cfg.dist_cfg.timeout': 60},
    )  # fmt: skip
    assert 'another process of this run has ended or hangs' in output
