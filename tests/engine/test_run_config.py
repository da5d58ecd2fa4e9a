# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the command line adds to a config."""

import pytest
import torch
from mmengine.config import Config

from mask_plugins.apis.config import check_file, load_config
from mask_plugins.engine.launching.run_config import (
    set_dataloader_defaults,
    set_resume,
)


def test_a_missing_file_says_what_is_there(tmp_path):
    (tmp_path / 'epoch_1.pth').touch()
    (tmp_path / 'log.json').touch()
    with pytest.raises(FileNotFoundError) as error:
        check_file(str(tmp_path / 'epoch_2.pth'), 'checkpoint')
    assert str(error.value).startswith('checkpoint: file not found')
    assert str(error.value).endswith('has: epoch_1.pth')


def test_a_missing_folder_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no folder'):
        check_file(str(tmp_path / 'none' / 'x.py'), 'config')
    with pytest.raises(FileNotFoundError, match='is a folder, not a file'):
        check_file(str(tmp_path), 'config')


def test_addresses_are_left_to_mmengine():
    check_file('https://example.org/x.pth', 'checkpoint')


@pytest.mark.parametrize(
    ('given', 'options', 'found'),
    [
        (None, None, 'work_dirs/some'),
        (None, dict(work_dir='in_options'), 'in_options'),
        ('on_line', dict(work_dir='in_options'), 'on_line'),
    ],
)
def test_work_dir(tmp_path, given, options, found):
    path = tmp_path / 'some.py'
    path.write_text('x = dict(y=1)')
    cfg = load_config(str(path), given, {'x.y': 2, **(options or {})})
    assert cfg.work_dir == found
    assert cfg.x.y == 2


def test_workers_persist_only_where_there_are_some():
    """Torch refuses persistent_workers with num_workers=0."""
    cfg = Config(
        dict(
            train_dataloader=dict(num_workers=0, persistent_workers=True),
            val_dataloader=dict(num_workers=2),
            test_dataloader=None,
        )
    )
    set_dataloader_defaults(cfg)
    assert cfg.train_dataloader.persistent_workers is False
    assert cfg.val_dataloader.persistent_workers is True
    assert cfg.val_dataloader.pin_memory is torch.cuda.is_available()
    assert cfg.val_dataloader.collate_fn.type == 'default_collate'
    assert cfg.test_dataloader is None


def test_what_the_config_says_is_kept_and_the_line_overrides_it():
    loader = dict(num_workers=1, persistent_workers=True, pin_memory=True)
    cfg = Config(dict(train_dataloader=loader))
    set_dataloader_defaults(cfg)
    assert cfg.train_dataloader.pin_memory is True
    set_dataloader_defaults(cfg, pin_memory=False, persistent_workers=False)
    assert cfg.train_dataloader.pin_memory is False
    assert cfg.train_dataloader.persistent_workers is False


def test_auto_resume_begins_with_load_from(tmp_path):
    """The same command starts a fine-tuning and resumes it."""
    cfg = Config(dict(work_dir=str(tmp_path), load_from='w.pth', resume=False))
    set_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (False, 'w.pth')
    (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    set_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (True, None)
    set_resume(cfg, 'x.pth')
    assert (cfg.resume, cfg.load_from) == (True, 'x.pth')


def test_auto_resume_leaves_the_choice_to_the_hook(tmp_path):
    """It looks for sound checkpoints, also without last_checkpoint."""
    hook = dict(type='mask_plugins.SafeCheckpointHook')
    cfg = Config(dict(work_dir=str(tmp_path), load_from='w.pth'))
    cfg.default_hooks = dict(checkpoint=hook)
    set_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (True, None)
    assert cfg.default_hooks.checkpoint.start_from == 'w.pth'


def test_a_stock_run_without_last_checkpoint_is_resumed(tmp_path):
    path = tmp_path / 'epoch_3.pth'
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    meta = dict(epoch=3, iter=9)
    torch.save(dict(meta=meta, state_dict={}, message_hub=hub), path)
    cfg = Config(dict(work_dir=str(tmp_path), load_from='w.pth'))
    set_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (True, str(path))
