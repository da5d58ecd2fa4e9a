# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Whether two lists of class names number them alike."""

from typing import Dict, List, Sequence

ADVICE = (
    'give both data sets the same classes (ImageFolder: class_prefix, '
    'VideoClips: class_root)'
)


def check_same_numbers(
    names: Sequence[str], others: Sequence[str], first: str, second: str
) -> List[str]:
    """Raise if a class has one number here and another there.

    Args:
        names (Sequence[str]): Classes, in the order of their numbers.
        others (Sequence[str]): Those that are compared with them.
        first (str): Where ``names`` are from, for the message.
        second (str): Where ``others`` are from.

    Returns:
        list[str]: Those of ``others`` that ``names`` lacks.

    Raises:
        ValueError: It names the first class whose numbers differ.

    Examples:
        >>> train = ('ant', 'bee', 'cow')
        >>> check_same_numbers(train, ('ant', 'bee', 'hen'), 'train', 'val')
        ['hen']
        >>> check_same_numbers(train, ('bee', 'cow'), 'train', 'val')
        Traceback (most recent call last):
        ...
        ValueError: class 'bee' has the number 1 in train and 0 in val: give \
both data sets the same classes (ImageFolder: class_prefix, VideoClips: \
class_root)
    """
    numbers: Dict[str, List[int]] = {}  # ImageNet has a name twice
    for number, name in enumerate(names):
        numbers.setdefault(name, []).append(number)
    for number, name in enumerate(others):
        if number not in numbers.get(name, [number]):
            raise ValueError(
                f'class {name!r} has the number {numbers[name][0]} in '
                f'{first} and {number} in {second}: {ADVICE}'
            )
    return [name for name in others if name not in numbers]
