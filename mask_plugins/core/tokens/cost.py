# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What tokens cost."""

from mask_plugins.utils.checked import checked


@checked
def block_macs(num_tokens: int, embed_dims: int) -> int:
    """Multiply-adds of one transformer block, for one image.

    With n tokens of width C and an MLP ratio of 4 it is
    :math:`12 n C^2 + 2 n^2 C`: the linear layers (4 of C x C in the
    attention, 8 in the MLP), and the two products of n x n attention with
    n x C. Norms, softmax, activations and biases are left out.

    Args:
        num_tokens (int): n, prefix tokens included.
        embed_dims (int): C; the number of heads does not matter.

    Returns:
        int: Multiply-adds; twice as many floating-point operations.

    Examples:
        >>> round(block_macs(39, 768) / block_macs(197, 768), 3)
        0.191
    """
    linear = 12 * num_tokens * embed_dims**2
    return linear + 2 * num_tokens**2 * embed_dims
