# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
import json
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.fileio import FileClient, LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import load_checkpoint

from mask_plugins.engine.checkpoint.atomic_backend import (
    ATOMIC,
    AtomicLocalBackend,
)
from mask_plugins.engine.checkpoint.checkpoint_guard import UNPICKLES
from mask_plugins.engine.checkpoint.histories import longest_window
from mask_plugins.engine.checkpoint.resume import UnsafeCheckpointError
from mask_plugins.engine.hooks import (
    SafeCheckpointHook,
    SeedHook,
    TrainLogHook,
)

from ..common import runs
from ..common.disk import full_disk
from ..common.runs import StopHook, Validations, load, names
from .toys import ToyDataset, ToyModel, build_runner


def train(work_dir, **kwargs):
    """Train, and return the runner and what it logged."""
    runner = build_runner(work_dir, **kwargs)
    return runner, runs.train(runner)


def hook_of(runner):
    return next(h for h in runner.hooks if isinstance(h, SafeCheckpointHook))


class TestSave:
    def test_loads_safely_and_has_the_log_history(self, tmp_path):
        runner, _ = train(tmp_path)
        checkpoint = load(tmp_path / 'epoch_2.pth')
        history = checkpoint['message_hub']['log_scalars']['train/loss']
        assert history['log'].tolist() == (
            runner.message_hub.get_scalar('train/loss').data[0].tolist()
        )
        last = (tmp_path / 'last_checkpoint').read_text()
        assert last == str(tmp_path / 'epoch_2.pth')
        # A tool without the hook reads it.
        model = ToyModel()
        load_checkpoint(model, last, strict=True)
        assert torch.equal(model.linear.weight, runner.model.linear.weight)

    def test_dropped_objects_are_named_once(self, tmp_path):
        class Litter(Hook):
            def before_train(self, runner):
                runner.message_hub.update_info('litter', lambda: 0)

        _, text = train(tmp_path, hooks=[Litter()])
        assert text.count('message_hub.runtime_info.litter') == 1
        hub = load(tmp_path / 'epoch_2.pth')['message_hub']
        assert 'litter' not in hub['runtime_info']

    def test_max_keep_and_best(self, tmp_path):
        options = dict(max_keep_ckpts=1, save_best='toy/acc')
        metric = dict(values=(1.0, 3.0, 2.0, 2.5))
        train(tmp_path, checkpoint=options, epochs=4, metric=metric)
        best = 'best_toy_acc_epoch_2.pth'
        assert names(tmp_path) == [best, 'epoch_4.pth']
        info = load(tmp_path / 'epoch_4.pth')['message_hub']['runtime_info']
        assert info['best_score'] == 3.0
        assert info['best_ckpt'] == str(tmp_path / best)
        assert info['keep_ckpt_ids'] == [4]

    def test_other_out_dir_and_published_keys(self, tmp_path):
        options = dict(
            out_dir=str(tmp_path / 'out'), published_keys=['state_dict']
        )
        train(tmp_path / 'run', checkpoint=options)
        folder = tmp_path / 'out' / 'run'
        published = names(folder, 'epoch_2-*.pth')
        assert len(published) == 1
        assert set(load(folder / published[0])) == {'state_dict'}
        runner, _ = train(
            tmp_path / 'run', checkpoint=options, resume=True, epochs=3
        )
        assert (runner.iter, runner.epoch) == (9, 3)
        assert 'epoch_3.pth' in names(folder)

    @pytest.mark.parametrize(
        ('key', 'backend'),
        [('backend_args', 'local'), ('file_client_args', 'disk')],
    )
    def test_ways_to_say_local_are_atomic(self, tmp_path, key, backend):
        options = {key: dict(backend=backend)}
        runner, text = train(tmp_path, checkpoint=options, epochs=1)
        assert hook_of(runner).backend_args == dict(backend=ATOMIC)
        assert 'written plainly' not in text

    def test_old_ones_go_when_the_new_one_is_in_place(self, tmp_path):
        removed = []

        @register_backend('test.watch', force=True)
        class Watch(AtomicLocalBackend):
            def remove(self, path):
                last = Path((tmp_path / 'last_checkpoint').read_text())
                assert last.is_file()
                assert str(last) != path
                info = load(last)['message_hub']['runtime_info']
                best = Path(info['best_ckpt'])
                if Path(path).name.startswith('best'):
                    assert best.is_file()
                    assert str(best) != path
                removed.append(Path(path).name)
                super().remove(path)

        options = dict(
            max_keep_ckpts=1,
            save_best='toy/acc',
            backend_args=dict(backend='test.watch'),
        )
        train(tmp_path, checkpoint=options, epochs=3)
        best = 'best_toy_acc_epoch_1.pth'
        assert removed == ['epoch_1.pth', best, 'epoch_2.pth']

    def test_a_full_disk_loses_nothing(self, tmp_path):
        class FillDisk(StopHook):
            def act(self, runner):
                stack.enter_context(full_disk(2000))

        hook = FillDisk('after_train_epoch', 2)
        options = dict(checkpoint=dict(max_keep_ckpts=1), log_level='ERROR')
        with ExitStack() as stack, pytest.raises(OSError, match='could not'):
            train(tmp_path, hooks=[hook], **options)
        assert names(tmp_path) == ['epoch_1.pth']
        assert load(tmp_path / 'epoch_1.pth')['meta']['epoch'] == 1
        last = (tmp_path / 'last_checkpoint').read_text()
        assert last == str(tmp_path / 'epoch_1.pth')
        assert names(tmp_path, '.*') == []

    def test_other_storage_is_written_plainly_with_one_warning(self, tmp_path):
        class Remote(LocalBackend):
            """Storage that is reached through a prefix only."""

            def _local(self, path):
                return str(path).replace('toy://', f'{tmp_path}/far/')

            def put(self, obj, filepath):
                super().put(obj, self._local(filepath))

            def isfile(self, filepath):
                return super().isfile(self._local(filepath))

            def remove(self, filepath):
                super().remove(self._local(filepath))

        register_backend('toy', Remote, force=True, prefixes='toy')
        FileClient.register_backend('toy', Remote, force=True, prefixes='toy')
        options = dict(out_dir='toy://bucket', max_keep_ckpts=1)
        _, text = train(tmp_path / 'run', checkpoint=options)
        assert text.count('written plainly') == 1
        assert names(tmp_path / 'far/bucket/run') == ['epoch_2.pth']
        last = (tmp_path / 'run' / 'last_checkpoint').read_text()
        assert last == 'toy://bucket/run/epoch_2.pth'

    def test_leftovers_of_a_killed_run_are_removed(self, tmp_path):
        left = tmp_path / '.epoch_1.pth.99.mask_plugins-tmp'
        left.write_bytes(b'half')
        train(tmp_path, epochs=1)
        assert not left.exists()

    def test_validation_alone_saves_nothing(self, tmp_path):
        build_runner(tmp_path, checkpoint=dict(save_best='toy/acc')).val()
        assert names(tmp_path) == []


class TestResume:
    def test_a_damaged_newest_is_trained_again(self, work_dir):
        before = load(work_dir / 'epoch_2.pth')['state_dict']
        (work_dir / 'epoch_2.pth').write_bytes(b'')
        runner, text = train(work_dir, resume=True, hooks=[SeedHook()])
        assert text.count('Resuming from') == 1
        assert 'epoch_1.pth' in text
        after = load(work_dir / 'epoch_2.pth')['state_dict']
        assert len(runner.message_hub.get_scalar('train/loss').data[0]) == 6
        assert torch.equal(before['linear.weight'], after['linear.weight'])

    def test_moved_folder(self, work_dir):
        moved = work_dir.with_name('moved')
        work_dir.rename(moved)
        _, text = train(moved, resume=True, epochs=3)
        assert 'resumed epoch: 2, iter: 6' in text

    def test_a_newer_one_of_another_run_is_not_taken(self, work_dir):
        shutil.copy(work_dir / 'epoch_1.pth', work_dir / 'epoch_300.pth')
        (work_dir / 'epoch_2.pth').unlink()
        _, text = train(work_dir, resume=True)
        assert 'resumed epoch: 1, iter: 3' in text

    def test_nothing_to_resume_is_no_warning(self, tmp_path):
        _, text = train(tmp_path / 'new', resume=True, epochs=1)
        assert 'scratch' not in text
        assert names(tmp_path / 'new') == ['epoch_1.pth']

    def test_a_complete_run_says_so(self, work_dir):
        """Not that a validation is missing, nor that log lines are cut."""
        new, validations = work_dir.with_name('new'), Validations()
        train(new, hooks=[TrainLogHook()])
        hooks = [validations, TrainLogHook()]
        _, text = train(new, resume=True, hooks=hooks)
        assert 'is complete (6 iterations)' in text
        assert 'ended before its validation' not in text
        assert 'were cut' not in text
        assert validations.at == []

    @pytest.mark.parametrize('resume', [True, False])
    @pytest.mark.parametrize('content', [b'', b'x' * 99, None])
    def test_named_one_is_an_error(self, work_dir, content, resume):
        path = work_dir / 'epoch_2.pth'
        path.unlink() if content is None else path.write_bytes(content)
        runner = build_runner(work_dir, resume=resume, load_from=str(path))
        with pytest.raises((ValueError, OSError), match='load_from='):
            runner.train()

    @pytest.mark.parametrize('named', [True, False])
    def test_pickled_objects_of_a_stock_checkpoint(
        self, tmp_path, monkeypatch, named
    ):
        runner = build_runner(tmp_path, epochs=1)
        runner._hooks[runner.hooks.index(hook_of(runner))] = CheckpointHook(
            interval=1
        )
        runner.train()
        load_from = str(tmp_path / 'epoch_1.pth') if named else None
        options = dict(resume=True, load_from=load_from)
        if not UNPICKLES:  # our own reader has no need to refuse
            with pytest.raises(
                UnsafeCheckpointError,
                match='HistoryBuffer.*stock_to_safe.*TORCH_FORCE',
            ):
                train(tmp_path, **options)
        monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
        runner, _ = train(tmp_path, **options)
        monkeypatch.delenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD')
        assert len(runner.message_hub.get_scalar('train/loss').data[0]) == 6
        load(tmp_path / 'epoch_2.pth')


def test_a_copied_folder_does_not_reach_into_the_original(tmp_path):
    options = dict(save_best='toy/acc', max_keep_ckpts=1)
    train(tmp_path / 'a', checkpoint=options, epochs=1)
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    (tmp_path / 'b' / 'last_checkpoint').write_text(
        str(tmp_path / 'b' / 'epoch_1.pth')
    )
    before = names(tmp_path / 'a')
    more = dict(checkpoint=options, resume=True, metric=dict(values=(9.0,)))
    train(tmp_path / 'b', **more)
    assert names(tmp_path / 'a') == before
    assert 'best_toy_acc_epoch_2.pth' in names(tmp_path / 'b')


def test_save_best_must_be_a_metric(tmp_path):
    """The checkpoint of the epoch is there."""
    options = dict(save_best='top1', rule='greater')
    with pytest.raises(ValueError, match=r"\['toy/acc'\].*got \['top1'\]"):
        train(tmp_path, checkpoint=options)
    assert names(tmp_path) == ['epoch_1.pth']


@pytest.mark.parametrize(
    ('window', 'length'), [(10, 1000), (1005, 1005), ('global', 1200)]
)
def test_log_histories_are_bounded(tmp_path, window, length):
    """By what the log looks back on."""
    custom = dict(data_src='loss', method_name='mean', window_size=window)
    runner, _ = train(
        tmp_path, epochs=1, log_processor=dict(custom_cfg=[custom])
    )
    hub = runner.message_hub
    buffer = hub.get_scalar('train/loss')
    runner.train_loop._max_iters = 1200
    hub.update_scalar('train/new', 1.0)
    hook_of(runner).before_train_iter(runner, 0)
    assert longest_window(runner) == length
    for _ in range(1300):
        buffer.update(1.0)
    assert len(buffer.data[0]) in (length, 1000)


def test_dataset_meta_with_arrays_is_no_change(tmp_path):
    info = dict(classes=('a', 'b'), sigmas=np.arange(3.0))
    dataset = dict(type=ToyDataset, metainfo=info)
    train(tmp_path, dataset=dataset, epochs=1)
    _, text = train(tmp_path, dataset=dataset, resume=True)
    assert 'dataset metainfo' not in text
    meta = load(tmp_path / 'epoch_2.pth')['meta']['dataset_meta']
    assert json.dumps(meta['sigmas'].tolist()) == '[0.0, 1.0, 2.0]'


def test_masks_that_the_model_has_no_place_for_are_said(tmp_path):
    runner, _ = train(tmp_path / 'stock')
    checkpoint = str(tmp_path / 'stock' / 'epoch_2.pth')
    content = torch.load(checkpoint)
    name = next(iter(content['state_dict']))
    content['state_dict'][f'{name}_mask.scores'] = torch.ones(1)
    torch.save(content, checkpoint)
    runner = build_runner(tmp_path / 'run', load_from=checkpoint)
    said = []
    runner.logger.warning = said.append
    runner.load_or_resume()
    (found,) = [text for text in said if 'masks' in text]
    assert f'has 1 masks, such as {name}_mask.scores' in found
