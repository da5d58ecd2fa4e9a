# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import pytest

from mask_plugins.sweeps import (
    SlurmOptions,
    make_manifest,
    read_manifest,
    read_spec,
)
from mask_plugins.sweeps.grid import expand, folder_names
from mask_plugins.sweeps.options import (
    format_option,
    parse_assignment,
    parse_values,
)
from mask_plugins.sweeps.search import read_search, write_search
from mask_plugins.sweeps.search.spec import make_search
from tests.small_run import QUICKSTART, ROOT

FILES = sorted((ROOT / 'configs').glob('*/sweeps/*.yaml'))
SWEEPS = [path for path in FILES if 'search' not in path.stem]


def labels(content):
    return folder_names(expand({'base': dict(config='a.py'), **content}))


def test_values_that_python_calls_equal_are_different_runs():
    assert len(labels(dict(grid={'a': [1, 1.0, True, [1], [True]]}))) == 5
    with pytest.raises(ValueError, match='two runs are the same'):
        labels(dict(grid={'a': [True, 1, True]}))


def test_a_merged_key_may_be_set_again(tmp_path):
    text = (
        f'config: {QUICKSTART}\nlist:\n- &a {{lr: 1, k: 1}}\n'
        '- &b {<<: *a, lr: 2}\n- {<<: *b, lr: 3}\n'
    )
    points = read_spec(write_sweep(tmp_path, text), {}, None).points
    assert [p.overrides['lr'] for p in points] == [1, 2, 3]
    assert {p.overrides['k'] for p in points} == {1}


def test_a_grid_is_a_product_and_the_seed_comes_last():
    grid = {'a.lr': [0.1, 1e-05], 'b.lr': [1]}
    names = labels(dict(grid=grid, seeds=[0, 1]))
    assert names == [
        'lr-0.1_seed-0', 'lr-0.1_seed-1', 'lr-1e-05_seed-0', 'lr-1e-05_seed-1',
    ]  # fmt: skip


def test_ambiguous_names_are_told_apart():
    names = labels(dict(grid={'a.lr': [1, 2], 'b.lr': [1, 2]}))
    assert names[1] == 'a.lr-1_b.lr-2_seed-0'


def test_named_settings_and_a_list():
    grid = {'mode': {'on': {'x': 1, 'y': True}, 'off': {'x': 0}}}
    entries = [{'k': [1, 2]}, {'k': None}]
    base = dict(config='a.py', z=3)
    points = expand(dict(base=base, grid=grid, list=entries))
    assert folder_names(points) == [
        'mode-on_k-1-2_seed-0', 'mode-on_k-None_seed-0',
        'mode-off_k-1-2_seed-0', 'mode-off_k-None_seed-0',
    ]  # fmt: skip
    assert points[0].overrides == {
        'config': 'a.py', 'z': 3, 'x': 1, 'y': True, 'k': [1, 2],
        'randomness.seed': 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(seeds=[]), 'seeds must be a list of ints'),
        (dict(seeds=[1.5]), r'got 1.5'),
        (dict(seeds=[10**20]), r'seeds must be an int in \[0, 4294967295\]'),
        (dict(seeds=[0, 0]), 'two runs are the same'),
        (dict(grid={'a': 3}), 'grid.a must be a list'),
        (dict(grid=[1]), r'grid must be a map of keys, got \[1\]'),
        (dict(list={}), 'list must be a list of settings'),
        (dict(grid={'a': [{'b': 1}]}), r"a: a value must be .*got {'b': 1}"),
        (dict(base={}), "'config' must name a config"),
        (dict(base=['ab', 'cd']), 'base must be a map of keys'),
        (dict(grid={3: [1]}), '3 is not a dotted key'),
        (dict(grid={'a\nb': [1]}), 'is not a dotted key'),
    ],
)
def test_bad_sweeps(content, message):
    with pytest.raises((TypeError, ValueError), match=message):
        expand({'base': dict(config='a.py'), **content})


@pytest.mark.parametrize(
    ('text', 'values'),
    [
        ('0.3,1', [0.3, 1]),
        ('[1,2],[3,4]', [[1, 2], [3, 4]]),
        ('a.b,True,None', ['a.b', True, None]),
    ],
)
def test_values(text, values):
    assert parse_values(text) == values
    for value in values:
        assert parse_values(format_option('x', value)[2:]) == [value]


@pytest.mark.parametrize(
    ('function', 'args', 'message'),
    [
        *[(parse_values, [x], 'by commas') for x in ('', '1,', '[1,2', '"a')],
        (parse_assignment, ['model'], "got 'model'"),
        # Text that a command line reads otherwise.
        *[(format_option, ['x', x], 'cannot') for x in ('1', 'a,b', 'True')],
    ],
)
def test_settings_that_are_none(function, args, message):
    with pytest.raises(ValueError, match=message):
        function(*args)


@pytest.mark.parametrize('path', SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_that_is_shipped_can_be_planned(path, tmp_path):
    spec = read_spec(path, {}, None)
    assert spec.name == path.stem
    made = make_manifest(spec, str(tmp_path), SlurmOptions())
    assert read_manifest(str(tmp_path)) == made
    assert f'{len(made.runs)} runs' in path.read_text()


@pytest.mark.parametrize(
    'path', set(FILES) - set(SWEEPS), ids=lambda path: path.stem
)
def test_every_search_that_is_shipped_can_be_made(path, tmp_path):
    spec, cfg = make_search(path.name)
    assert spec.name == path.stem
    assert f'{spec.trials} trials' in path.read_text()
    write_search(tmp_path, spec, cfg)
    assert read_search(tmp_path) == spec


def test_a_sweep_of_the_package_is_found_by_its_name():
    path = SWEEPS[0].relative_to(ROOT / 'configs')
    for name in (f'mask_plugins::{path}', path.name):
        assert read_spec(name, {}, None).name == SWEEPS[0].stem
    with pytest.raises(FileNotFoundError, match=r'near names: .*\.yaml'):
        read_spec(SWEEPS[0].stem + 'x.yaml', {}, None)


def write_sweep(tmp_path, text):
    path = tmp_path / 'sweep.yaml'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_numbers_of_yaml(tmp_path):
    """PyYAML reads 1e-3 as text: it has no dot."""
    text = 'config: {}\ngrid:\n  lr: [1e-3, 5E-4, 1.e2, -2e+1, .5, 1e3]\n'
    text += 'base: {{model: e-3, k: 1}}\n'
    path = write_sweep(tmp_path, text.format(QUICKSTART))
    points = read_spec(path, {}, None).points
    found = [point.overrides['lr'] for point in points]
    assert found == [1e-3, 5e-4, 100.0, -20.0, 0.5, 1000.0]
    assert all(type(value) is float for value in found)
    assert points[0].overrides['model'] == 'e-3'
    assert type(points[0].overrides['k']) is int


def test_what_yaml_takes_for_a_number_or_a_flag(tmp_path):
    """In YAML 1.1 these are 750, False, 8 and a date."""
    text = (
        'config: {}\ngrid:\n  lr: [12:30, no, 010, 2026-11-27, true, 0x1F]\n'
    )
    path = write_sweep(tmp_path, text.format(QUICKSTART))
    found = [p.overrides['lr'] for p in read_spec(path, {}, None).points]
    assert found == ['12:30', 'no', '010', '2026-11-27', True, 31]
    for value in ('.inf', '.nan', '1e400'):
        path = write_sweep(tmp_path, f'config: c.py\ngrid:\n  lr: [{value}]\n')
        with pytest.raises(ValueError, match=r'lr: a value must .* finite'):
            read_spec(path, {}, None)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('grids: {}', r"some of the keys .*got \['grids'\]"),
        ('a: [', 'not YAML'),
        ('!!python/object:os.system {}', 'not YAML'),
        (b'\xff\xfe\x00a', 'not YAML'),
        ('[' * 10000, 'not YAML'),
        ('grid: {}\nseeds: [0]\ngrid: {}', "the key 'grid' stands twice"),
        ('grid: {x: [1], x: [2]}', "the key 'x' stands twice"),
        ('config: &a [*a]', 'config: a value must be'),
        ('base: &a {x: *a}', 'x: a value must be'),
        ('grid: {x: [&a [*a]]}', 'x: a value must be'),
        ('config: c.py\ngrid: 5', 'grid must be a map'),
        ('config: c.py\nmeasured: [1]', 'measured must be a map'),
        ('config: c.py\nmeasured: {seconds_per_epoch: .inf}', 'finite'),
        ('config: c.py\nname: ".."', 'name must be letters'),
        ('config: c.py\nname: "."', 'name must be letters'),
        ('config: c.py\nname: a/b', 'name must be letters'),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    path = write_sweep(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        read_spec(path, {}, None)
    assert str(path) in str(error.value)


def test_no_file():
    with pytest.raises(FileNotFoundError, match=r'nowhere\.yaml'):
        read_spec('nowhere.yaml', {}, None)
