# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The compiled convolution is torch's, on every instruction set there is."""

import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mask_plugins import native
from mask_plugins.core.patches.patch_difference import map_scale
from mask_plugins.native.patch_change import copy_tiles, score_changes
from mask_plugins.native.patch_conv import ACTIVATIONS, PatchConv
from mask_plugins.native.pixel_changes import PixelChanges
from mask_plugins.native.tiles import Tiles, pixel_step

pytestmark = pytest.mark.skipif(
    native.library() is None, reason=native.status()
)
LAST = torch.channels_last
#: Largest error by the size of the map.
LIMITS = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.fixture(
    scope='module', params=native.runnable() if native.library() else ()
)
def lib(request):
    return native.open_library(request.param)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def convolutions(draw):
    """Odd shapes of everything; groups of any width, also of one channel."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 19]))
    widths = (1, 5, 17, 40) if groups == 1 else (1, 2, 3)
    case = dict(
        groups=groups,
        inputs=groups * draw(st.sampled_from(widths)),
        outputs=groups * draw(st.sampled_from((*widths, 1))),
        kernel=draw(pairs),
        stride=draw(pairs),
        dilation=draw(st.sampled_from([(1, 1), (2, 1), (1, 2), (3, 2)])),
        before=draw(st.tuples(st.integers(0, 3), st.integers(0, 3))),
        size=draw(st.tuples(st.integers(1, 14), st.integers(1, 14))),
        batch=draw(st.integers(1, 3)),
        patch=draw(pairs),
        bias=draw(st.booleans()),
        residual=draw(st.booleans()),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        dtype=draw(st.sampled_from(list(LIMITS))),
        seed=draw(st.integers(0, 99)),
    )
    for axis in (0, 1):
        reach = case['dilation'][axis] * (case['kernel'][axis] - 1) + 1
        assume(case['size'][axis] + 2 * case['before'][axis] >= reach)
    return case


def maps(case, channels, values=torch.randn):
    """Random maps in channels-last order."""
    found = values((case['batch'], channels, *case['size']))
    return found.to(case['dtype']).contiguous(memory_format=LAST)


def random_patches(case, size):
    """Tiles of a map, numbers of some patches and which pixels they own."""
    grid = tuple(math.ceil(s / p) for s, p in zip(size, case['patch']))
    active = torch.rand(case['batch'], *grid) < torch.rand(())
    numbers = active.view(-1).nonzero().view(-1)
    pixels = active.unsqueeze(1)
    for axis, step in zip((2, 3), case['patch']):
        pixels = pixels.repeat_interleave(step, axis)
    return (
        Tiles(grid, case['patch']),
        numbers,
        pixels[..., : size[0], : size[1]],
    )


def activate(x, name):
    return {'none': lambda x: x, 'relu': F.relu, 'relu6': F.relu6}[name](x)


def check(found, expected, old, pixels, limit):
    """Active pixels are as expected, all others bit-equal to before."""
    assert torch.equal(found.where(~pixels, old), old)
    found, expected = found.float().where(pixels, expected), expected
    worst = (found - expected).abs().max() / expected.abs().max().clamp(1e-3)
    assert worst <= limit


def convolve(lib, case, values):
    """Arguments of ``check`` for a convolution of such random values."""
    torch.manual_seed(case['seed'])
    keys = ('stride', 'before', 'dilation')
    geometry = (case['kernel'], *(case[k] for k in ('stride', 'dilation')))
    x = maps(case, case['inputs'], values)
    inputs = case['inputs'] // case['groups']
    weight = values((case['outputs'], inputs, *case['kernel']))
    weight = weight.to(case['dtype'])
    bias = values((case['outputs'],)) if case['bias'] else None
    args = (weight.double(), None if bias is None else bias.double())
    expected = F.conv2d(
        x.double(), *args, *(case[k] for k in keys), case['groups']
    )
    out, residual = (
        values(expected.shape).to(x).contiguous(memory_format=LAST)
        for _ in range(2)
    )
    old = out.clone()
    if not case['residual']:
        residual = None
    else:
        expected += residual.double()
    expected = activate(expected, case['activation'])
    size = tuple(out.shape[2:])
    tiles, numbers, pixels = random_patches(case, size)
    options = (weight, bias, case['groups'], case['activation'])
    conv = PatchConv(lib, *geometry, case['before'], *options)
    conv(x, out, tiles, numbers, size, residual)
    return out, expected, old, pixels


@settings(max_examples=150, deadline=None, derandomize=True)
@given(convolutions())
def test_it_is_the_convolution_of_torch(lib, case):
    check(*convolve(lib, case, torch.randn), LIMITS[case['dtype']])


def whole_numbers(shape):
    return torch.randint(-4, 5, shape).float()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(convolutions())
def test_whole_numbers_are_exact(lib, case):
    """No order of sums rounds them: one value too many or few is seen."""
    out, expected, *others = convolve(lib, case, whole_numbers)
    check(out, expected.to(case['dtype']).double(), *others, 0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(convolutions())
def test_pairs_change_convolutions_in_bfloat16_only(case):
    """float32, and what gates decide on, has the bits of the next build."""
    builds = 'avx512bf16', 'avx512'
    if not set(builds) <= set(native.runnable()):
        pytest.skip('not built, or not on this CPU')
    full = dict(case, dtype=torch.float32)
    tiles, _, _ = random_patches(case, case['size'])
    found = []
    for name in builds:
        out, *_ = convolve(native.open_library(name), full, torch.randn)
        torch.manual_seed(case['seed'])
        x, ref = (maps(case, case['inputs']) for _ in range(2))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(native.SWITCH, name)
            found.append((out, score_changes(x, ref, tiles, True)))
    assert all(map(torch.equal, *found))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(convolutions())
def test_it_is_the_pooling_of_torch(lib, case):
    before = tuple(
        min(b, k // 2) for b, k in zip(case['before'], case['kernel'])
    )
    torch.manual_seed(case['seed'])
    geometry = (case['kernel'], case['stride'])
    x = maps(case, case['inputs'])
    x[torch.rand(x.shape) < 0.1] = torch.nan
    reach = [d * (k - 1) + 1 for d, k in zip(case['dilation'], case['kernel'])]
    padded = [s + 2 * b for s, b in zip(case['size'], before)]
    assume(all(p >= r for p, r in zip(padded, reach)))
    expected = F.max_pool2d(x, *geometry, before, case['dilation'])
    out = torch.zeros_like(expected, memory_format=LAST)
    old, size = out.clone(), tuple(out.shape[2:])
    tiles, numbers, pixels = random_patches(case, size)
    pool = PatchConv(lib, *geometry, case['dilation'], before)
    pool(x, out, tiles, numbers, size)
    torch.testing.assert_close(
        out, expected.where(pixels, old), equal_nan=True, rtol=0, atol=0
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(convolutions(), st.integers(1, 40))
def test_changes_and_copies(lib, case, kept):
    torch.manual_seed(case['seed'])
    x = maps(case, case['inputs'])
    seen = x[:, :kept]
    ref = torch.randn(seen.shape).to(x).contiguous(memory_format=LAST)
    tiles, numbers, pixels = random_patches(case, case['size'])
    change = (seen.double() - ref.double()).abs().sum(1, keepdim=True)
    pads = [-side % step for side, step in zip(case['size'], case['patch'])]
    expected = F.pad(change, (0, pads[1], 0, pads[0]))
    area = math.prod(case['patch'])
    expected = area * F.avg_pool2d(expected, case['patch'])[:, 0]
    sums = area * seen.shape[1] * score_changes(seen, ref, tiles).double()
    torch.testing.assert_close(sums, expected, rtol=1e-5, atol=1e-5)
    scaled = area * seen.shape[1] * score_changes(seen, ref, tiles, True)
    expected /= map_scale(seen)
    torch.testing.assert_close(scaled.double(), expected, rtol=1e-4, atol=1e-4)
    old = ref.clone()
    assert copy_tiles(ref, seen, tiles, numbers)
    assert torch.equal(ref, seen.where(pixels, old))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(convolutions(), st.integers(1, 5), st.integers(1, 5))
def test_what_is_known_is_not_compared_again(lib, case, down, across):
    torch.manual_seed(case['seed'])
    x, (height, width) = maps(case, case['inputs']), case['size']
    ref = torch.randn_like(x)
    tiles, _, _ = random_patches(case, case['size'])
    grid = -(-height // down), -(-width // across)
    made = torch.rand(len(x), *grid) < 0.3
    stale = torch.rand(len(x), *tiles.pairs[0]) < 0.3
    known = PixelChanges(x.new_full((len(x), height, width), math.nan).float())
    first = score_changes(x, ref, tiles, known=known)
    assert torch.equal(first, score_changes(x, ref, tiles))

    def pixels(mask, pitch):
        for axis in (0, 1):
            mask = mask.repeat_interleave(pitch[axis], 1 + axis)
        return mask[:, None, :height, :width]

    x = torch.where(pixels(made, (down, across)), x + 1, x)
    ref = torch.where(pixels(stale, tiles.pairs[1]), ref - 1, ref)
    x, ref = (t.contiguous(memory_format=LAST) for t in (x, ref))
    known.stale, known.changed, known.pitch = stale, made, (down, across)
    second = score_changes(x, ref, tiles, known=known)
    assert torch.equal(second, score_changes(x, ref, tiles))
    known.stale, known.changed = (
        torch.zeros_like(stale),
        torch.zeros_like(made),
    )
    assert torch.equal(second, score_changes(x + 1, ref, tiles, known=known))


@pytest.mark.parametrize('value', [math.nan, math.inf])
@pytest.mark.parametrize('dtype', list(LIMITS))
@pytest.mark.parametrize('activation', ACTIVATIONS)
def test_values_that_are_not_finite_stay(lib, value, dtype, activation):
    x = torch.zeros(1, 1, 2, 2, dtype=dtype)
    x[..., 1] = value
    out, weight = torch.zeros_like(x), torch.ones(1, 1, 1, 1)
    one = (1, 1)
    conv = PatchConv(lib, one, one, one, (0, 0), weight, activation=activation)
    conv(x, out, Tiles(one, (2, 2)), torch.tensor([0]), (2, 2))
    assert out.equal(activate(x, activation)) or math.isnan(value)
    assert out.isnan().equal(x.isnan())


def test_threads_give_the_same_bits(lib, two_threads):
    torch.manual_seed(0)
    for shape, patch in (((2, 64, 40, 40), 8), ((1, 256, 8, 8), 2)):
        x = torch.randn(shape).contiguous(memory_format=LAST)
        weight = torch.randn(64, shape[1], 3, 3)
        one = (1, 1)
        conv = PatchConv(lib, (3, 3), one, one, one, weight)
        grid = (shape[2] // patch,) * 2
        tiles, size = Tiles(grid, (patch, patch)), shape[2:]
        numbers = torch.arange(shape[0] * grid[0] ** 2)
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            out = torch.zeros(shape[0], 64, *size)
            out = out.contiguous(memory_format=LAST)
            conv(x, out, tiles, numbers, size)
            found.append((out, score_changes(x, 0 * x, tiles)))
        assert all(map(torch.equal, *found))


FORK = """
import os, torch
from mask_plugins.native.patch_change import score_changes
from mask_plugins.native.pixel_changes import PixelChanges
from mask_plugins.native.tiles import Tiles
torch.set_num_threads(2)
x = torch.ones(1, 64, 64, 64).to(memory_format=torch.channels_last)
count = lambda: score_changes(x, 0 * x, Tiles((1, 1), (64, 64))).item()
assert count() == 1
child = os.fork()
if not child:
    torch.set_num_threads(1)  # as a DataLoader does
    os._exit(count() != 1)
print(os.waitpid(child, 0)[1], count() == 1)
"""


@pytest.mark.slow
def test_after_a_fork():
    done = subprocess.run(
        [sys.executable, '-c', FORK],
        capture_output=True, text=True, timeout=120, env=os.environ,
    )  # fmt: skip
    assert done.stdout.split() == ['0', 'True'], done.stderr


def test_maps_in_another_order_are_left_to_torch():
    x = torch.ones(1, 3, 4, 4)
    tiles = Tiles((1, 1), (4, 4))
    assert pixel_step(x) is None
    assert score_changes(x, x, tiles) is None
    assert not copy_tiles(x, x, tiles, torch.tensor([0]))
    ours = x.double().contiguous(memory_format=LAST)
    assert score_changes(ours, ours, tiles) is None
