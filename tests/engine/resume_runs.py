# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Real training runs, each in a process of its own, that may kill themselves.

Run as a script it reads one JSON object per line, ``dict(work_dir=...,
...)``, forks, trains in the child and answers with the child's exit status:
importing torch and mmpretrain, which takes longer than a run, is done once.
"""

import copy
import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch
from mmengine.fileio import register_backend
from mmengine.hooks import Hook

from mask_plugins.engine.checkpoint.atomic_backend import AtomicLocalBackend
from mask_plugins.registry import HOOKS


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


@register_backend('test.kill', force=True)
class KillingBackend(AtomicLocalBackend):
    """Kill the process in (`half`) or after (`whole`) the n-th write."""

    left = 0
    where = 'half'

    def _write(self, file, obj):
        type(self).left -= 1
        if self.left == 0 and self.where == 'half':
            file.write(obj[: len(obj) // 2])
            file.flush()
            kill()
        super()._write(file, obj)

    def put(self, obj, filepath):
        super().put(obj, filepath)
        if self.left == 0 and self.where == 'whole':
            kill()


@HOOKS.register_module(force=True)
class KillHook(Hook):
    """Kill the process the n-th time that a hook point is reached."""

    def __init__(self, point, count, priority='NORMAL'):
        self.left = count
        self.priority = priority

        def hit(runner, *args, **kwargs):
            self.left -= 1
            if self.left == 0:
                self.act()

        setattr(self, point, hit)

    def act(self):
        kill()


@HOOKS.register_module(force=True)
class SignalHook(KillHook):
    """Send signals to the process and its workers at a hook point."""

    def __init__(self, point, count, names=('SIGUSR1',), priority='NORMAL'):
        super().__init__(point, count, priority)
        self.names = names

    def act(self):
        children = Path(f'/proc/self/task/{os.getpid()}/children').read_text()
        for name in self.names:
            for pid in (os.getpid(), *map(int, children.split())):
                os.kill(pid, signal.Signals[name])


@register_backend('test.signal', force=True)
class SignalBackend(AtomicLocalBackend):
    """Send the process both signals while it writes."""

    def _write(self, file, obj):
        file.write(obj[:100])
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        file.write(obj[100:])


@HOOKS.register_module(force=True)
class FillDiskHook(KillHook):
    """Fill the disk of the work_dir at a hook point, then perhaps stop."""

    def __init__(self, point, count, priority='NORMAL', stop=False):
        super().__init__(point, count, priority)
        self.stop = stop

    def before_train(self, runner):
        self.filler = Path(runner.work_dir).parent / 'filler'

    def act(self):
        with self.filler.open('wb', buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        if self.stop:
            os.kill(os.getpid(), signal.SIGTERM)


@HOOKS.register_module(force=True)
class CountLoadsHook(Hook):
    """Write down which samples the process loads for training."""

    def before_train(self, runner):
        dataset = runner.train_dataloader.dataset
        prepare = dataset.prepare_data
        path = Path(runner.work_dir) / 'loads.txt'

        def prepare_and_count(index):
            with path.open('a') as file:
                file.write(f'{int(index)}\n')
            return prepare(index)

        dataset.prepare_data = prepare_and_count


BASE = dict(
    default_scope='mmpretrain',
    model=dict(
        type='ImageClassifier',
        backbone=dict(
            type='VisionTransformer',
            arch=dict(
                embed_dims=16,
                num_layers=2,
                num_heads=2,
                feedforward_channels=32,
            ),
            img_size=16,
            patch_size=8,
            drop_rate=0.1,
            drop_path_rate=0.2,
        ),
        head=dict(
            type='VisionTransformerClsHead', num_classes=10, in_channels=16
        ),
        data_preprocessor=dict(
            num_classes=10, mean=[78.0] * 3, std=[96.0] * 3
        ),
        train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)),
    ),
    train_dataloader=dict(
        batch_size=16,
        num_workers=0,
        persistent_workers=False,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(
            type='mask_plugins.Digits',
            split='train',
            image_size=16,
            indices=64,
            pipeline=[
                dict(type='mask_plugins.SeedSample'),
                dict(type='RandomCrop', crop_size=16, padding=2),
                dict(type='RandomFlip', prob=0.5),
                dict(type='ColorJitter', brightness=0.5, contrast=0.5),
                dict(type='PackInputs'),
            ],
        ),
    ),
    val_dataloader=dict(
        batch_size=16,
        num_workers=0,
        persistent_workers=False,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='mask_plugins.Digits',
            split='test',
            image_size=16,
            indices=48,
            pipeline=[dict(type='PackInputs')],
        ),
    ),
    val_evaluator=dict(type='Accuracy', topk=(1, 5)),
    train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=1),
    val_cfg=dict(),
    optim_wrapper=dict(
        optimizer=dict(type='AdamW', lr=0.01), clip_grad=dict(max_norm=1.0)
    ),
    param_scheduler=[
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=4),
        dict(type='CosineAnnealingLR', T_max=3, by_epoch=True),
    ],
    default_hooks=dict(
        logger=dict(type='LoggerHook', interval=2),
        checkpoint=dict(
            type='mask_plugins.SafeCheckpointHook',
            interval=1,
            max_keep_ckpts=1,
            save_best='auto',
        ),
    ),
    custom_hooks=[
        dict(type='mask_plugins.SeedHook'),
        dict(type='mask_plugins.TrainLogHook'),
        dict(type='EMAHook', momentum=0.1),
    ],
    randomness=dict(seed=7),
    log_level='WARNING',
)

ITERATIONS = dict(
    train_cfg=dict(by_epoch=False, max_iters=10, val_interval=3),
    param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False)],
    checkpoint=dict(by_epoch=False, interval=3),
)


def config(
    work_dir,
    workers=0,
    resume=False,
    loop='epoch',
    hook=None,
    backend=None,
    persistent=False,
    seed=7,
    sampler=None,
    options=None,
    override=None,
    preempt=None,
    accumulate=1,
    batch_size=16,
):
    """The config of a run; `hook` and `backend` say where it dies."""
    cfg = copy.deepcopy(BASE)
    cfg['work_dir'] = str(work_dir)
    cfg['resume'] = resume
    cfg['randomness']['seed'] = seed
    for name in ('train_dataloader', 'val_dataloader'):
        cfg[name].update(num_workers=workers, persistent_workers=persistent)
    if sampler:
        cfg['train_dataloader']['sampler'] = sampler
    checkpoint = cfg['default_hooks']['checkpoint']
    if loop == 'iter':
        extra = copy.deepcopy(ITERATIONS)
        checkpoint.update(extra.pop('checkpoint'))
        cfg.update(extra)
    checkpoint.update(options or {})
    cfg['train_dataloader']['batch_size'] = batch_size
    cfg['optim_wrapper']['accumulative_counts'] = accumulate
    if preempt is not None:
        cfg['default_hooks']['preemption'] = dict(
            type='mask_plugins.PreemptionHook', **preempt
        )
    if hook:
        hook = {'type': 'mask_plugins.KillHook', **hook}
        cfg['custom_hooks'].append(hook)
    if backend:
        KillingBackend.left, KillingBackend.where = backend
        checkpoint['backend_args'] = dict(backend='test.kill')
    return _merge(cfg, override or {})


def _merge(cfg, override):
    """Replace what ``override`` names, dict by dict."""
    for key, value in override.items():
        if isinstance(value, dict) and not value.pop('_delete_', False):
            value = _merge(cfg.get(key) or {}, value)
        cfg[key] = value
    return cfg


def train(**options):
    """Train in this process."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    torch.set_num_threads(1)
    runner = Runner.from_cfg(Config(config(**options)))
    runner.train()
    return runner


def warm_up():
    """Do once, before the fork, what every run would do again."""
    import mmengine.runner.runner as runner_module
    import mmpretrain.datasets
    import mmpretrain.evaluation
    import mmpretrain.models
    import mmpretrain.visualization  # noqa: F401
    import sklearn.datasets  # noqa: F401

    import mask_plugins.engine  # noqa: F401

    gc.freeze()  # mmengine's datasets collect garbage, which takes long
    env = runner_module.collect_env()
    runner_module.collect_env = lambda: copy.deepcopy(env)


def main():
    """Answer requests until there are no more."""
    warm_up()
    for request in sys.stdin:
        options = json.loads(request)
        child = os.fork()
        if child == 0:
            folder = Path(options['work_dir'])
            folder.mkdir(parents=True, exist_ok=True)
            out = os.open(folder / 'output.txt', os.O_CREAT | os.O_RDWR, 0o644)
            os.ftruncate(out, 0)
            os.dup2(out, 1)
            os.dup2(out, 2)
            code = 1
            try:
                train(**options)
                code = 0
            except SystemExit as end:
                code = end.code
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(json.dumps(status), flush=True)


if __name__ == '__main__':
    main()
