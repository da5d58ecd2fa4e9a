# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""How many images fit a budget of tokens."""

from mask_plugins.utils.checked import checked


@checked
def budget_batch_size(
    batch_size: int, num_tokens: int, num_keep: int, max_batch_size: int = 0
) -> int:
    """The most images whose kept tokens are no more than a full batch's.

    Args:
        batch_size (int): Images of a batch at drop ratio 0.
        num_tokens (int): Tokens of an image at drop ratio 0, N.
        num_keep (int): Tokens that are kept, n, the prefix included.
        max_batch_size (int): Upper bound; 0 for none. Defaults to 0.

    Returns:
        int: ``batch_size * N // n``, or ``max_batch_size`` if that is less.

    Examples:
        >>> [budget_batch_size(4, 197, n) for n in (197, 158, 118, 79, 39)]
        [4, 4, 6, 9, 20]
    """
    size = batch_size * num_tokens // num_keep
    return min(size, max_batch_size) if max_batch_size else size
