# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Stateless randomness: every random stream is a function of its place.

Saved generator states do not give an exact resume: whatever draws between a
checkpoint and the next step (a validation, a data worker) shifts the stream.
Seeds that are derived from (seed, where we are) need no state at all.
"""

import hashlib
import random
import struct
from typing import NamedTuple

import numpy as np
import torch

from mask_plugins.utils.checks import check_int

# What a stream of random numbers is for. The numbers are part of the result
# of a run: append to them, never change them.
EPOCH, ITERATION, VALIDATION, TEST, SAMPLE = range(5)


class Seeds(NamedTuple):
    """One seed for each global generator.

    Examples:
        >>> Seeds(python=1, numpy=2, torch=3)
        Seeds(python=1, numpy=2, torch=3)
    """

    python: int
    numpy: int
    torch: int


def derive_seeds(seed: int, stream: int, *position: int) -> Seeds:
    """Seeds that depend on all arguments and on nothing else.

    They are a BLAKE2 hash of the arguments: neighboring positions give
    unrelated streams, unlike ``seed + rank + epoch``, where different places
    share a stream. numpy's ``SeedSequence`` would do too, but takes ten times
    as long, which shows when every sample is seeded.

    Args:
        seed (int): Seed of the run, not negative.
        stream (int): What the numbers are for, such as :data:`ITERATION`.
        *position (int): Where, not negative, such as rank and iteration.

    Returns:
        Seeds: 32 bits for :mod:`random` and numpy, 64 bits for torch.

    Raises:
        TypeError, ValueError: If an argument is not an int, is negative or
            has more than 63 bits.

    Examples:
        >>> derive_seeds(0, ITERATION, 0, 5).python
        1240392530
    """
    key = (seed, stream, *position)
    for part in key:
        check_int('seed, stream and position', part, 0, (1 << 63) - 1)
    packed = struct.pack(f'<{len(key)}q', *key)
    digest = hashlib.blake2b(packed, digest_size=16).digest()
    return Seeds(*struct.unpack('<IIQ', digest))


def seed_generators(seeds: Seeds, cuda: bool = False) -> None:
    """Seed the global generators of :mod:`random`, numpy and torch.

    ``torch.manual_seed`` is avoided: without an initialized CUDA it formats
    a stack trace at each call, which is far too slow for every sample.

    Args:
        seeds (Seeds): From :func:`derive_seeds`.
        cuda (bool): Seed the current CUDA device too, where CUDA has been
            initialized. Data workers must not. Defaults to False.

    Examples:
        >>> seed_generators(Seeds(1, 2, 3))
        >>> first = torch.rand(1), np.random.rand(), random.random()
        >>> seed_generators(Seeds(1, 2, 3))
        >>> first == (torch.rand(1), np.random.rand(), random.random())
        True
    """
    random.seed(seeds.python)
    np.random.seed(seeds.numpy)
    torch.default_generator.manual_seed(seeds.torch)
    if cuda and torch.cuda.is_initialized():
        torch.cuda.manual_seed(seeds.torch)
