# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Nothing that a file says names a path to remove or write."""

import os
import shutil

import pytest
import torch

from mask_plugins.engine.checkpoint.own_checkpoints import own_checkpoint
from mask_plugins.engine.checkpoint.resume import (
    checkpoint_folders,
    choose_checkpoint,
)
from mask_plugins.engine.hooks import SafeCheckpointHook

from ..common.runs import load, names, train
from .toys import build_runner

ODD = [
    None, True, 3, -1, 1.5, float('nan'), b'x', [], ['a'], {}, dict(a=1),
    '', '.', '..', '/', '~', '\0', 'a\0b', 'x' * 5000, 'iter_\u00b2.pth',
    10**400, torch.ones(2), 1j,
]  # fmt: skip
FOREIGN = [
    '/etc/passwd', '../epoch_1.pth', 'a/epoch_1.pth', './epoch_1.pth',
    'epoch_1.pth/', '/epoch_1.pth', 'epoch_01.pth', 'epoch_-1.pth',
    'epoch_\u0661.pth', 'epoch_1.pth\0', 'epoch_1.pth\n', 'epoch_{}.pth',
    'epoch_' + '9' * 30 + '.pth', 'best_/../x_epoch_1.pth', 'last_checkpoint',
    'model.pth', 'epoch_final.pth', 'best_epoch_1.pth.bak', 'EPOCH_1.pth',
]  # fmt: skip


@pytest.mark.parametrize('name', ODD + FOREIGN)
def test_what_no_run_writes(name):
    assert own_checkpoint(name) is None


@pytest.mark.parametrize(
    ('name', 'template', 'expected'),
    [
        ('epoch_12.pth', 'epoch_{}.pth', (12, '', False)),
        ('iter_12.pth', 'epoch_{}.pth', (12, '', True)),
        ('iter_12.pth', 'iter_{}.pth', (12, '', False)),
        ('best_a_b_epoch_3.pth', 'epoch_{}.pth', (3, 'a_b', False)),
        ('my-003', 'my-{:03d}', (3, '', False)),
    ],
)
def test_what_a_run_writes(name, template, expected):
    assert own_checkpoint(name, template)[1:] == expected


@pytest.mark.parametrize('template', ['a/{}.pth', 'a.pth', '{}_{}.pth'])
def test_a_template_must_be_one_name(template):
    with pytest.raises(ValueError, match='filename_tmpl must be'):
        SafeCheckpointHook(filename_tmpl=template)


def tamper(path, info):
    """Have a checkpoint say something else of the run's files."""
    checkpoint = load(path)
    for key in ('runtime_info', 'resumed_keys'):
        hub = checkpoint['message_hub'][key]
        hub.update(
            info if key == 'runtime_info' else dict.fromkeys(info, True)
        )
    torch.save(checkpoint, path)


KEYS = (
    'outdated_ckpts', 'out_of_turn_ckpt', 'keep_ckpt_ids', 'last_ckpt',
    'best_ckpt', 'best_score',
)  # fmt: skip
OPTIONS = dict(save_best='toy/acc', max_keep_ckpts=1, published_keys='meta')


@pytest.fixture(scope='module')
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp('started') / 'run'
    build_runner(folder, epochs=1, checkpoint=OPTIONS).train()
    return folder


@pytest.fixture
def work_dir(started, tmp_path):
    """The work_dir of a run of one epoch."""
    return shutil.copytree(started, tmp_path / 'run')


def resume(work_dir, checkpoint, epochs=3, **options):
    runner = build_runner(
        work_dir,
        epochs=epochs,
        checkpoint={**OPTIONS, **options},
        resume=True,
        load_from=str(checkpoint),
        metric=dict(values=(8.0, 9.0)),
    )
    return runner, train(runner)


@pytest.mark.parametrize('how', ['absolute', 'dots', 'name', 'step'])
def test_lies_remove_and_write_nothing(work_dir, tmp_path, how):
    """Files, folders and links, in the run's folder and outside."""
    for folder in (tmp_path / 'other', work_dir / 'epoch_70.pth'):
        folder.mkdir()
        (folder / 'precious.txt').touch()
    # Of other runs, or by hand: this run has not written them.
    files = ['other/epoch_1.pth', 'precious.txt', 'run/notes.txt']
    files += ['run/epoch_0.pth', 'run/iter_0.pth', 'run/epoch_8.pth']
    files += ['run/best_toy_acc_epoch_0.pth']
    for name in files:
        torch.save(dict(meta={}, state_dict={}), tmp_path / name)
    (work_dir / 'epoch_9.pth').symlink_to(tmp_path / 'precious.txt')
    # A link to a checkpoint of this very run.
    shutil.copy(work_dir / 'epoch_1.pth', tmp_path / 'copy.pth')
    (work_dir / 'iter_9.pth').symlink_to(tmp_path / 'copy.pth')
    say = dict(
        absolute=lambda path: f'{tmp_path}/{path}',
        dots=lambda path: f'../{path}',
        name=os.path.basename,
        step=lambda path: int(''.join(filter(str.isdigit, path)) or 0),
    )[how]
    links = ['run/epoch_9.pth', 'run/iter_9.pth', 'copy.pth']
    lies = [say(p) for p in (*files, *links, 'other', 'run/epoch_70.pth')]
    info = dict.fromkeys(('outdated_ckpts', 'keep_ckpt_ids'), lies)
    info.update(dict.fromkeys(('last_ckpt', 'best_ckpt'), lies[0]))
    tamper(work_dir / 'epoch_1.pth', dict(info, out_of_turn_ckpt=lies[-1]))
    before = {p: p.lstat().st_size for p in tmp_path.rglob('*')}
    resume(work_dir, work_dir / 'epoch_1.pth')
    gone = {p for p in before if not os.path.lexists(p)}
    # What this run has written, and a newer one has replaced. Its best it
    # does not know any more.
    assert gone == {work_dir / 'epoch_1.pth'}
    new = {p for p in tmp_path.rglob('*') if p not in before}
    assert {p.parent for p in new if p.suffix == '.pth'} == {work_dir}
    for name in files:
        assert (tmp_path / name).stat().st_size == before[tmp_path / name]


@pytest.mark.parametrize('value', ODD, ids=str)
def test_values_of_any_type(work_dir, value):
    tamper(work_dir / 'epoch_1.pth', dict.fromkeys(KEYS, value))
    resume(work_dir, work_dir / 'epoch_1.pth', epochs=2)
    found = [n for n in names(work_dir) if '-' not in n]
    assert found[-2:] == ['best_toy_acc_epoch_2.pth', 'epoch_2.pth']
    assert 'epoch_1.pth' not in found


def test_meta_runs_nothing(work_dir, tmp_path):
    """mmengine runs `config` in the meta of what it resumes from."""
    canary = tmp_path / 'canary'
    path = work_dir / 'epoch_1.pth'
    checkpoint = load(path)
    checkpoint['meta']['config'] = f'open({str(canary)!r}, "w").close()'
    torch.save(checkpoint, path)
    resume(work_dir, path, epochs=2)
    assert not canary.exists()
    assert (work_dir / 'epoch_2.pth').exists()


@pytest.mark.parametrize(
    ('address', 'expected'),
    [
        ('https://example.org/a/run/epoch_1.pth', False),
        ('s3://mine/run/epoch_1.pth', True),
    ],
)
def test_a_foreign_address_is_not_fetched(tmp_path, address, expected):
    (tmp_path / 'last_checkpoint').write_text(address)
    folders = checkpoint_folders(str(tmp_path / 'run'), 's3://mine/')
    choice = choose_checkpoint(str(tmp_path), folders, 'epoch_{}.pth')
    assert choice.resume is expected


def test_a_stale_best_goes(work_dir):
    """Left by a kill between the save of a new best and its removal."""
    old = work_dir / 'best_toy_acc_epoch_1.pth'
    kept = old.read_bytes()
    resume(work_dir, work_dir / 'epoch_1.pth', epochs=2)
    assert not old.exists()
    old.write_bytes(kept)
    (work_dir / 'best_other_epoch_1.pth').write_bytes(b'of somebody')
    resume(work_dir, work_dir / 'epoch_2.pth')
    assert not old.exists()
    assert (work_dir / 'best_other_epoch_1.pth').exists()
