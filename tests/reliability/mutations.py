# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Change bytes, or values in nested containers, by a seeded generator."""

import copy

import torch

NUMBERS = (0, -1, 1, 7, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e308)
ODD = (
    *NUMBERS, None, True, False, float('nan'), float('inf'), '', 'x', '../x',
    '/etc/passwd', 'a' * 5000, '\ud800', 'nan', '1e9', [], {}, [[]], {'': {}},
    [None] * 3, {'a': 1}, ['x', -1],
)  # fmt: skip
# Only pickles and safetensors have these.
ODD_TENSORS = (
    torch.full((2, 2), float('nan')), torch.ones(0), torch.tensor(3),
    torch.ones(1).expand(1 << 31), torch.ones(3, dtype=torch.complex64),
    b'\x80\x02.', (1, 2), {3}, {(1, 2): 3}, torch.float16,
)  # fmt: skip


def mutate_bytes(rng, data):
    """One to four changes of a bytes object."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        length = rng.choice((1, 1, 2, 4, 8, 64))
        part = data[at : at + length]
        change = rng.randrange(8)
        if change == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            del data[at : at + length]
        elif change == 2:
            data[at:at] = rng.randbytes(length)
        elif change == 3:
            data[at : at + length] = rng.choice((b'\0', b'\xff')) * length
        elif change == 4:
            data[at:at] = part * rng.choice((2, 1000))
        elif change == 5:
            other = rng.randrange(len(data) + 1)
            data[other : other + length] = part
        elif change == 6:
            data[at : at + 1] = str(rng.choice(NUMBERS)).encode()
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def mutate_value(rng, value, tensors=False):
    """A copy of nested containers in which one to three places are odd."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            break
        owner, key = rng.choice(places)
        odd = ODD + ODD_TENSORS if tensors else ODD
        change = rng.randrange(8)
        if change == 0:
            del owner[key]
        elif change == 1 and isinstance(owner, dict):
            owner[rng.choice(('x', '', 3, key * 2))] = owner.pop(key)
        elif change == 2:
            owner[key] = copy.deepcopy(rng.choice(places)[0])
        elif change == 3:
            for _ in range(rng.choice((5, 120, 2000))):
                owner[key] = [owner[key]]
        else:
            owner[key] = copy.deepcopy(rng.choice(odd))
    return value


def _places(value, depth=0):
    keys = value if isinstance(value, dict) else ()
    keys = range(len(value)) if isinstance(value, list) else keys
    for key in keys:
        yield value, key
        if depth < 20:
            yield from _places(value[key], depth + 1)
