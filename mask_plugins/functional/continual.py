# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Tasks of classes, and what is measured after each of them.

An accuracy matrix has one row per task that was trained: row i holds the
accuracies on the tasks 0 to i after training task i, so that row i has i + 1
numbers. The indices of Lopez-Paz and Ranzato (Gradient Episodic Memory,
arXiv:1706.08840) and of Chaudhry et al. (Riemannian Walk, arXiv:1801.10112)
are functions of it.
"""

from typing import List, Sequence, Tuple, Union

import torch

Matrix = Sequence[Sequence[float]]


def class_order(num_classes: int, seed: int = -1) -> List[int]:
    """The order in which classes are learned.

    Args:
        num_classes (int): Number of classes.
        seed (int): Seed of the permutation; -1 keeps the order of the
            dataset. Defaults to -1.

    Returns:
        list[int]: A permutation of the labels; a function of both arguments
        alone, that draws from no global generator.

    Raises:
        ValueError: If an argument is out of range.
    """
    if num_classes < 1:
        raise ValueError(f'num_classes must be positive, got {num_classes!r}')
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < -1:
        raise ValueError(
            f'seed must be an int of at least 0, or -1 for none, got {seed!r}'
        )
    if seed < 0:
        return list(range(num_classes))
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(num_classes, generator=generator).tolist()


def task_bounds(
    num_classes: int, tasks: Union[int, Sequence[int]]
) -> Tuple[int, ...]:
    """Where tasks begin and end among the ordered classes.

    Args:
        num_classes (int): Number of classes.
        tasks (int | Sequence[int]): Number of tasks of equal size, of which
            the first have one class more where it does not divide
            ``num_classes``; or the number of classes of every task.

    Returns:
        tuple[int]: T + 1 numbers: task t has the classes ``bounds[t]`` to
        ``bounds[t + 1] - 1`` of the order.

    Raises:
        ValueError: If a task would be empty, or the sizes do not sum up to
            ``num_classes``.
    """
    if isinstance(tasks, int):
        if isinstance(tasks, bool) or not 1 <= tasks <= num_classes:
            raise ValueError(
                f'tasks must be 1 to {num_classes}, one class each at least '
                f'of {num_classes} classes, got {tasks!r}'
            )
        size, rest = divmod(num_classes, tasks)
        sizes = [size + (task < rest) for task in range(tasks)]
    else:
        sizes = list(tasks)
        if not sizes or any(
            isinstance(n, bool) or not isinstance(n, int) or n < 1
            for n in sizes
        ):
            raise ValueError(
                'tasks must be a number of tasks, or the number of classes '
                f'of each, at least 1, got {tasks!r}'
            )
        if sum(sizes) != num_classes:
            raise ValueError(
                f'tasks={sizes} have {sum(sizes)} classes, the dataset has '
                f'{num_classes}'
            )
    bounds = [0]
    for size in sizes:
        bounds.append(bounds[-1] + size)
    return tuple(bounds)


def check_matrix(matrix: Matrix) -> None:
    """See that row i has i + 1 numbers.

    Args:
        matrix (Sequence[Sequence[float]]): Accuracy matrix.

    Raises:
        ValueError: If it is empty or has another shape.
    """
    lengths = [len(row) for row in matrix]
    if not lengths or lengths != list(range(1, len(lengths) + 1)):
        raise ValueError(
            'row i of an accuracy matrix holds the accuracies on the tasks 0 '
            f'to i, got rows of the lengths {lengths}'
        )


def average_accuracy(matrix: Matrix) -> float:
    """Mean accuracy over all tasks after the last one (ACC).

    Args:
        matrix (Sequence[Sequence[float]]): Accuracy matrix.
    """
    check_matrix(matrix)
    return sum(matrix[-1]) / len(matrix)


def average_incremental_accuracy(matrix: Matrix) -> float:
    """Mean, over the tasks, of the mean accuracy after each of them.

    That of Rebuffi et al. (iCaRL, arXiv:1611.07725), for tasks of any size.

    Args:
        matrix (Sequence[Sequence[float]]): Accuracy matrix.
    """
    check_matrix(matrix)
    return sum(sum(row) / len(row) for row in matrix) / len(matrix)


def forgetting(matrix: Matrix) -> float:
    """How much was lost since the best there was, a mean over old tasks.

    Args:
        matrix (Sequence[Sequence[float]]): Accuracy matrix.

    Returns:
        float: At least minus the largest accuracy; 0 where there is one task.
    """
    check_matrix(matrix)
    lost = [
        max(row[task] for row in matrix[task:-1]) - matrix[-1][task]
        for task in range(len(matrix) - 1)
    ]
    return sum(lost) / len(lost) if lost else 0.0


def backward_transfer(matrix: Matrix) -> float:
    """What later tasks did to earlier ones (BWT); negative is forgetting.

    Args:
        matrix (Sequence[Sequence[float]]): Accuracy matrix.

    Returns:
        float: 0 where there is one task.
    """
    check_matrix(matrix)
    change = [
        matrix[-1][task] - matrix[task][task]
        for task in range(len(matrix) - 1)
    ]
    return sum(change) / len(change) if change else 0.0
