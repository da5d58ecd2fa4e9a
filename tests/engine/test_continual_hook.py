# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A run over tasks: the loop, the hook, the metric, the schedule."""

import copy
import json

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.optim import SGD

from mask_plugins.engine.loops.continual_train_loop import epochs_of_tasks
from mask_plugins.engine.optimizers import TaskwiseMultiStepLR
from mask_plugins.functional.continual import continual_indices

from ..common.methods import method_config, named
from ..common.runs import log_lines

LWF = {
    'train_dataloader.dataset.tasks': [6, 4],
    'val_dataloader.dataset.tasks': [6, 4],
    'train_cfg.later_epochs': 1.5,
    'param_scheduler.milestones': [[1], [1, 2]],
}


def start(folder, **options):
    """Two tasks of unequal size, of two epochs and three."""
    cfg = method_config('lwf', **{**LWF, **options})
    del cfg.default_hooks.class_count  # the hook itself is tested
    runner = Runner.from_cfg(named(cfg, folder))
    runner.train()
    return runner


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('continual') / 'run'
    return start(
        folder,
        **{
            'default_hooks.checkpoint.max_keep_ckpts': -1,
            'custom_hooks.2.later_lr_mult': dict(backbone=0.5),
            'optim_wrapper.paramwise_cfg': dict(
                custom_keys=dict(backbone=dict(lr_mult=1.0))
            ),
        },
    )


def test_lengths(trained):
    loop = trained.train_loop
    assert loop.ends == [2, 5]
    assert trained.max_epochs == 5
    assert (
        trained.iter == trained.max_iters == len(log_lines(trained.work_dir))
    )


def test_every_task_is_validated(trained):
    found = log_lines(trained.work_dir, 'val_log.json')
    assert [line['epoch'] for line in found] == [1, 4]
    assert 'continual/task2' not in found[0]
    assert found[1]['acc1'] == found[1]['continual/top1']
    report = json.loads(
        open(f'{trained.work_dir}/accuracy_matrix.json').read()
    )
    matrix = report['matrix']
    assert matrix[0] == [found[0]['continual/task1']]
    assert matrix[1] == [found[1][f'continual/task{n}'] for n in (1, 2)]
    indices = continual_indices(matrix)
    assert report['average_accuracy'] == indices['average_accuracy']
    assert found[1]['continual/forgetting'] == indices['forgetting']
    assert [len(names) for names in report['tasks']] == [6, 4]


def test_losses_of_the_terms(trained):
    first, second = (
        [line for line in log_lines(trained.work_dir) if condition(line)]
        for condition in (
            lambda line: line['epoch'] < 2,
            lambda line: line['epoch'] >= 2,
        )
    )
    assert all('loss_kd' not in line for line in first)
    assert all(line['loss_kd'] >= 0 for line in second)
    # The teacher is the student as the task begins: only batch norm differs.
    assert any(line['loss_kd'] > 0 for line in second)


def test_head_and_teacher_know_the_classes(trained):
    model = trained.model
    assert (model.kd_loss.old, int(model.head.seen)) == (6, 10)


def test_a_test_knows_the_task_and_the_rows(trained, tmp_path):
    """Of the checkpoint that was written when task 1 was done."""
    found = test_of(trained, 2)
    assert 'continual/task2' not in found
    assert found['continual/average'] == found['continual/task1']
    found = test_of(trained, 5)
    last = log_lines(trained.work_dir, 'val_log.json')[-1]
    for key in ('continual/average', 'continual/forgetting'):
        assert found[key] == pytest.approx(last[key])


def test_of(trained, epoch):
    cfg = copy.deepcopy(trained.cfg.to_dict())
    cfg.update(
        test_dataloader=cfg['val_dataloader'],
        test_evaluator=cfg['val_evaluator'],
        test_cfg=dict(),
        load_from=f'{trained.work_dir}/epoch_{epoch}.pth',
        experiment_name=f'test_{epoch}',
    )
    return Runner.from_cfg(Config(cfg)).test()


test_of.__test__ = False


@pytest.mark.parametrize(
    ('path', 'value', 'error', 'match'),
    [
        ('train_cfg.epochs', 0, ValueError, 'epochs'),
        ('train_cfg.epochs', [1], ValueError, 'later_epochs'),
        ('train_cfg.val_interval', 0, ValueError, 'val_interval'),
        ('train_dataloader.sampler.type', 'DefaultSampler', TypeError,
         'TaskSampler'),
        ('train_dataloader.batch_size', 80, ValueError,
         'too few for one batch'),
        ('train_dataloader.dataset.tasks', 11, ValueError,
         r'tasks must be an int in \[1, num_classes=10\], got 11'),
        ('val_dataloader.dataset.seed', 1, ValueError,
         'same tasks and class order'),
        ('model.head.head.num_classes', 9, ValueError,
         'the head has num_classes=9'),
        ('custom_hooks.2.later_lr_mult', dict(body=0.5), ValueError,
         "no module 'body'"),
        ('custom_hooks.2.later_lr_mult', dict(backbone=0.5), ValueError,
         'custom_keys'),
    ],
)  # fmt: skip
def test_bad_runs(tmp_path, path, value, error, match):
    with pytest.raises(error, match=match):
        start(tmp_path, **{path: value})
    assert not list(tmp_path.glob('*.pth'))


# ------------------------------------------------------------------ the parts
def test_epochs_of_tasks():
    assert epochs_of_tasks(3, 30, 1.25) == [30, 37, 37]
    assert epochs_of_tasks(2, [3, 5]) == [3, 5]


def rates(epochs, marked=False, **options):
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [dict(params=[p]) for p in parameters]
    optimizer = SGD(groups, lr=1.0)
    if marked:
        optimizer.param_groups[0]['later_lr_mult'] = 0.5
    scheduler = TaskwiseMultiStepLR(OptimWrapper(optimizer), **options)
    scheduler.set_task_epochs(epochs)
    found = []
    for _ in range(sum(epochs)):
        found.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return [list(column) for column in zip(*found)]


def test_rates_of_every_task():
    found = rates([3, 4], milestones=[[2], [1, 3]], gamma=0.5)[1]
    assert found == [1, 1, 0.5, 1, 0.5, 0.5, 0.25]
    body, head = rates([2, 4], True, milestones=[0.5], gamma=0.5)
    assert head == [1, 0.5, 1, 1, 0.5, 0.5]
    assert body == [1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_bad_milestones():
    with pytest.raises(ValueError, match='one list of numbers per task'):
        rates([3], milestones=[[1], 2])
    with pytest.raises(ValueError, match='beyond the 3 epochs of task 2'):
        rates([6, 3], milestones=[5])
