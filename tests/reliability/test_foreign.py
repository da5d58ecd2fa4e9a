# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""More files of strangers, and all of them through every route."""

import os
import re
import shutil
import zipfile

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from mask_plugins.analysis.runs.run_comparison import read_run
from mask_plugins.engine.checkpoint import checkpoint_guard
from mask_plugins.engine.checkpoint.json_lines import JsonLines
from mask_plugins.engine.launching.run_config import build_runner
from mask_plugins.utils.files import read_json, read_json_lines
from mask_plugins.utils.safe_load import read_checkpoint
from tests.common.foreign_files import _CODE, FOREIGN, _safetensors, text
from tests.evaluation.runs import write_run
from tests.tools.test_foreign_files import NAMES, ROUTES
from tests.tools.test_foreign_files import folder as folder  # a fixture

ADAPTER = dict(format='mask_plugins.masks', version='1', base_sha256='0')


def _bomb(path, canary):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr('archive/data.pkl', b'\x80\x02' + bytes(1 << 28))


def _saved(content):
    return lambda path, canary: torch.save(content, path)


def _header(**words):
    data = dict(__metadata__={**ADAPTER, **words})
    return lambda path, canary: _safetensors(path, data)


def _link(to):
    return lambda path, canary: path.symlink_to(to)


MORE = {
    'zip-bomb': _bomb,
    'meta-list': _saved(dict(meta=['epoch'], state_dict=3)),
    'state-text': _saved('state_dict'),
    'state-list': _saved(dict(state_dict=['a', 'b'], meta={})),
    'adapter-list': _header(masks='[]', bases='{}', info='{}', sha256='0'),
    'adapter-deep': _header(masks='[' * 10**5, bases='{}', info='{}'),
    'link-to-folder': _link('.'),
    'link-to-itself': lambda path, canary: path.symlink_to(path),
    'link-to-nothing': _link('nothing'),
    'link-to-zeros': _link('/dev/zero'),
    'pipe': lambda path, canary: os.mkfifo(path),
    'hub-key': lambda path, canary: path.write_bytes(
        b'\x80\x02}' + text('state_dict') + b'K\1s.'
    ),
}
EVERY = {**FOREIGN, **MORE}


@pytest.fixture(scope='module')
def files(folder):
    """All of them, in the folder of the sound model."""
    for name, write in EVERY.items():
        if name not in NAMES:
            write(folder / f'{name}.pth', folder / 'canary')
    return folder


def take(files, route, names, figures, monkeypatch):
    monkeypatch.chdir(files)
    init_default_scope('mmpretrain')
    before = sorted(os.listdir(files))
    for name in names:
        path = files / f'{name}.pth'
        with pytest.raises((SystemExit, ValueError, OSError)) as info:
            ROUTES[route](files, str(path))
        assert path.name in str(info.value), (name, str(info.value))
        assert not (files / 'canary').exists(), name
        figures['foreign files refused'] += 1
    assert sorted(os.listdir(files)) == before


@pytest.mark.parametrize('route', ['teacher', 'adapter', 'read_adapter'])
def test_a_sample(files, route, figures, monkeypatch):
    take(files, route, MORE, figures, monkeypatch)


@pytest.mark.reliability
@pytest.mark.parametrize('route', sorted(ROUTES))
def test_every_route(files, route, figures, monkeypatch):
    # Those that `make test` has not tried; of two, nothing has to be refused.
    names = set(EVERY) - set(NAMES) - {'odd-zip_of_text', 'code-script'}
    take(files, route, sorted(names), figures, monkeypatch)


def stock_config(folder, path):
    """A run with mmengine's own CheckpointHook."""
    cfg = Config.fromfile(folder / 'tiny.py')
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    cfg.work_dir, cfg.launcher = str(folder / 'work'), 'none'
    cfg.load_from, cfg.resume = str(path), True
    return cfg


def test_stock_hooks_run_no_config(folder, tmp_path, monkeypatch):
    path, canary = tmp_path / 'a.pth', tmp_path / 'canary'
    config = f'import os\nos.mkdir({str(canary)!r})\n'
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    meta = dict(epoch=0, iter=0, config=config)
    torch.save(dict(meta=meta, state_dict={}, message_hub=hub), path)
    runner = build_runner(stock_config(folder, path))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.load_or_resume()
    assert not canary.exists()


def copy_of(folder):
    """In place of a download: the file of that name."""
    return lambda url, path: shutil.copy(folder / os.path.basename(path), path)


@pytest.mark.parametrize('name', ['zip', 'legacy', 'tar', 'rebuild_type'])
def test_torch_that_unpickles(tmp_path, name, monkeypatch):
    """mmengine's own loader, as before torch 2.6."""
    from mmengine.runner import CheckpointLoader

    monkeypatch.setattr(checkpoint_guard, 'UNPICKLES', True)
    monkeypatch.setattr(CheckpointLoader, '_schemes', {})
    checkpoint_guard.guard_loading()
    path, canary = tmp_path / 'a.pth', tmp_path / 'canary'
    _CODE[name](path, canary)
    with pytest.raises(ValueError, match=r'a\.pth'):
        CheckpointLoader.load_checkpoint(str(path))
    assert not canary.exists()
    torch.save(dict(state_dict=nn.Linear(2, 2).state_dict()), path)
    assert CheckpointLoader.load_checkpoint(str(path))['state_dict']
    _CODE[name](tmp_path / 'b.pth', canary)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', copy_of(tmp_path))
    with pytest.raises(ValueError, match=r'b\.pth'):
        CheckpointLoader.load_checkpoint('https://example.org/b.pth?x=1')
    assert not canary.exists()
    url = 'https://example.org/a.pth'
    assert CheckpointLoader.load_checkpoint(url)['state_dict']


def test_a_log_is_not_written_through_a_link(tmp_path):
    (tmp_path / 'precious').write_text('as it was')
    (tmp_path / 'train_log.json').symlink_to(tmp_path / 'precious')
    log = JsonLines(tmp_path / 'train_log.json', interval=1)
    with pytest.raises(OSError, match=r'train_log\.json is a link'):
        log.append(loss=1)
    assert (tmp_path / 'precious').read_text() == 'as it was'
    log._lines.clear()


def test_the_config_of_a_run_is_not_run(tmp_path):
    canary = tmp_path / 'canary'
    config = f'import os\nos.mkdir({str(canary)!r})\nlr = 1\n'
    run = read_run(write_run(tmp_path / 'run', config=config))
    assert run.config is None
    assert not canary.exists()


@pytest.mark.parametrize('read', [read_json, read_json_lines, read_checkpoint])
def test_neither_folders_nor_pipes_are_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', tmp_path):
        with pytest.raises(OSError, match=re.escape(str(path))):
            read(str(path))
