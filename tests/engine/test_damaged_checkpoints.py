# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A damaged checkpoint of any kind gives way to the one before."""

import io
import random
import struct
import zipfile

import pytest
import torch

from mask_plugins.engine.checkpoint.resume import (
    UnsafeCheckpointError,
    check_checkpoint,
    choose_checkpoint,
)

from ..common.runs import load, names, train
from .toys import build_runner


def directory(data):
    """Where the table of contents begins, and its entries."""
    (start,) = struct.unpack_from('<I', data, data.rindex(b'PK\5\6') + 16)
    at = start
    while data[at : at + 4] == b'PK\1\2':
        yield at
        name, extra, comment = struct.unpack_from('<3H', data, at + 28)
        at += 46 + name + extra + comment


def set_field(data, offset, value):
    """In the entry of the largest record."""
    at = max(directory(data), key=lambda i: data[i + 24 : i + 28][::-1])
    data[at + offset] = value


def odd_name(data):
    at = max(directory(data))
    data[at + 46] = 255
    data[at + 9] = 8  # UTF-8, which this is not


def of_something():
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        archive.writestr('a', b'b')
    return file.getvalue()


def expanded(data):
    """A tensor of 4 bytes that stands for 8 GiB."""
    content = torch.load(io.BytesIO(bytes(data)), weights_only=True)
    content['message_hub']['runtime_info']['x'] = torch.ones(1).expand(1 << 31)
    file = io.BytesIO()
    torch.save(content, file)
    data[:] = file.getvalue()


def replace(content):
    return lambda data: data.__setitem__(slice(None), content)


DAMAGES = dict(
    encrypted=lambda data: set_field(data, 8, 1),
    unknown_method=lambda data: set_field(data, 10, 77),
    deflated=lambda data: set_field(data, 10, 8),
    # Torch's reader takes the record for a folder, Python's does not.
    as_folder=lambda data: set_field(data, 38, 16),
    odd_name=odd_name,
    expanded=expanded,
    zip_of_something=replace(of_something()),
    deep_pickle=replace(b'\x80\x02' + b']' * 100000 + b'.'),
    text=replace(b'just text\n'),
    truncated=lambda data: data.__delitem__(slice(len(data) // 2, None)),
    empty=replace(b''),
)


@pytest.mark.parametrize('damage', DAMAGES)
def test_the_one_before_is_taken(work_dir, damage):
    path = work_dir / 'epoch_2.pth'
    data = bytearray(path.read_bytes())
    DAMAGES[damage](data)
    path.write_bytes(data)
    choice = choose_checkpoint(str(work_dir), [work_dir], 'epoch_{}.pth')
    assert choice.path == str(work_dir / 'epoch_1.pth')
    assert str(path) in choice.warning


def test_any_byte(work_dir):
    """Damaged anywhere: found, or without effect."""
    path = work_dir / 'epoch_2.pth'
    sound, expected = path.read_bytes(), load(path)['state_dict']
    draw = random.Random(0)
    entries = list(directory(sound))
    for _ in range(300):
        data = bytearray(sound)
        for _ in range(draw.choice([1, 1, 3])):
            at = draw.choice([0, entries[0], len(data) - 80])
            at = draw.randrange(at, len(data))
            data[at] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        try:
            check_checkpoint(str(path), ('meta', 'state_dict'))
        except ValueError:
            continue
        found = torch.load(path, weights_only=True)['state_dict']
        assert all(torch.equal(found[k], expected[k]) for k in expected)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (None, 'does not exist'),
        ('', 'last_checkpoint is empty'),
        ('/', '/ is a folder'),
        ('nothing\0here', 'does not exist'),
        ('x' * 9999, 'does not exist'),
    ],
)
def test_what_last_checkpoint_says(work_dir, content, message):
    last = work_dir / 'last_checkpoint'
    last.unlink() if content is None else last.write_text(content)
    text = train(build_runner(work_dir, resume=True, epochs=3))
    assert message in text
    assert text.count('Resuming from') == 1
    assert 'resumed epoch: 2, iter: 6' in text


def test_all_are_damaged(work_dir):
    for path in work_dir.glob('*.pth'):
        path.write_bytes(path.read_bytes()[:999])
    text = train(build_runner(work_dir, resume=True))
    assert 'training starts from scratch' in text
    assert 'resumed epoch' not in text


def test_begin_with_weights_where_there_is_nothing_to_resume(work_dir):
    """And only there: `--resume` with `load_from` in the config (F4)."""
    start = work_dir.with_name('start.pth')
    weights = {'linear.weight': torch.full((1, 1), 7.0)}
    torch.save(dict(state_dict=weights), start)
    (work_dir / 'last_checkpoint').unlink()
    options = dict(checkpoint=dict(start_from=str(start)), resume=True)
    text = train(build_runner(work_dir, epochs=3, **options))
    assert 'resumed epoch: 2, iter: 6' in text
    assert names(work_dir) == ['epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']
    runner = build_runner(work_dir.with_name('new'), **options)
    text = train(runner)
    assert runner.iter == 6
    assert f'Load checkpoint from {start}' in text
    assert runner.model.linear.weight > 6


@pytest.mark.parametrize(
    ('drop', 'message'),
    [
        (('optimizer',), 'without optimizer'),
        (('optimizer', 'meta', 'message_hub'), 'it has weights only'),
    ],
)
def test_a_resume_without_its_state_is_refused(work_dir, drop, message):
    path = work_dir / 'epoch_2.pth'
    checkpoint = load(path)
    for key in drop:
        checkpoint.pop(key)
    torch.save(checkpoint, path)
    runner = build_runner(work_dir, resume=True, load_from=str(path))
    with pytest.raises(ValueError, match=f'{message}.*resume=False'):
        runner.train()
    # Found by itself, it gives way to the one before.
    assert 'resumed epoch: 1' in train(build_runner(work_dir, resume=True))


@pytest.mark.parametrize('left_out', ['optimizer', 'param_scheduler'])
def test_sound_checkpoints_without_their_state_are_kept(tmp_path, left_out):
    """Such as of `save_optimizer=False`: no run begins over them."""
    options = dict(
        param_scheduler=dict(type='LinearLR', end=6, by_epoch=False)
    )
    saved = {f'save_{left_out}': False}
    train(build_runner(tmp_path, checkpoint=saved, **options))
    before = {path: path.read_bytes() for path in tmp_path.glob('*.pth')}
    runner = build_runner(tmp_path, resume=True, **options)
    with pytest.raises(ValueError, match=f'epoch_2.pth: without {left_out}'):
        runner.train()
    assert before == {p: p.read_bytes() for p in tmp_path.glob('*.pth')}
    # As it was trained, it is resumed.
    again = build_runner(
        tmp_path, checkpoint=saved, resume=True, epochs=3, **options
    )
    assert 'resumed epoch: 2' in train(again)


class Code:
    def __reduce__(self):
        return print, ('executed',)


@pytest.mark.parametrize('zipped', [True, False])
def test_code_is_not_run_nor_recommended(tmp_path, capfd, zipped):
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(a=Code()), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises((UnsafeCheckpointError, ValueError)) as error:
        check_checkpoint(str(path))
    assert 'TORCH_FORCE' not in str(error.value)
    assert 'executed' not in capfd.readouterr().out
