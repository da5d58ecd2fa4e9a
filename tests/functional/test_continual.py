# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tasks of classes, and the indices of an accuracy matrix."""

import pytest
import torch

from mask_plugins.functional.continual import (
    class_order,
    continual_indices,
    continual_report,
    matrix_table,
    mean_report,
    task_bounds,
)

# Worked out by hand; task 1 was best after task 2.
MATRIX = [[90.0], [95.0, 80.0], [60.0, 50.0, 100.0]]


def test_class_order_is_a_function_of_the_seed():
    assert class_order(10) == list(range(10))
    state = torch.get_rng_state()
    orders = [class_order(10, seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(10))


@pytest.mark.parametrize(
    ('tasks', 'bounds'),
    [
        (1, (0, 10)),
        (5, (0, 2, 4, 6, 8, 10)),
    ],
)
def test_task_bounds(tasks, bounds):
    assert task_bounds(10, tasks) == bounds


@pytest.mark.parametrize('tasks', [0, 11, True, [], [5, 0, 5], [5, 6], [9.5]])
def test_bad_tasks(tasks):
    with pytest.raises((TypeError, ValueError), match='tasks'):
        task_bounds(10, tasks)


def test_too_few_classes():
    with pytest.raises(ValueError, match='num_classes=1.*got 2'):
        task_bounds(1, 2)


@pytest.mark.parametrize('seed', [-2, 0.5, True])
def test_bad_seed(seed):
    with pytest.raises((TypeError, ValueError), match='seed'):
        class_order(10, seed)


def test_indices():
    assert continual_indices(MATRIX) == pytest.approx(
        dict(
            average_accuracy=70,
            average_incremental_accuracy=(90 + 87.5 + 70) / 3,
            forgetting=((95 - 60) + (80 - 50)) / 2,
            backward_transfer=((60 - 90) + (50 - 80)) / 2,
        )
    )
    one = continual_indices([[50.0]])  # forgets nothing
    assert one['forgetting'] == one['backward_transfer'] == 0


@pytest.mark.parametrize('matrix', [[], [[]], [[1.0, 2.0]], [[1.0], [2.0]]])
def test_bad_matrix(matrix):
    with pytest.raises(ValueError, match='row i'):
        continual_indices(matrix)


def test_report_of_several_runs():
    tasks = [['a', 'b'], ['c']]
    runs = [continual_report([[90.0], [x, 80.0]], tasks) for x in (50.0, 70.0)]
    mean = mean_report(runs)
    assert mean['matrix'] == [[90.0], [60.0, 80.0]]
    assert mean['forgetting'] == 30
    table = matrix_table(mean)
    assert '| task 2 | 60.00 | 80.00 | 70.00 |' in table
    assert 'mean of 2 runs' in table
    with pytest.raises(ValueError, match='trained tasks'):
        mean_report([runs[0], continual_report([[90.0]], tasks)])
    with pytest.raises(ValueError, match=r'rows .* \[1, 2\], got 3'):
        continual_report([[1.0], [1.0] * 2, [1.0] * 3], tasks)
