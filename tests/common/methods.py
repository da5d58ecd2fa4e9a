# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A short run of each method, from its config on digits, through the tools."""

import gc
import json
import multiprocessing
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path

import mmengine.runner.runner as runner_module
import mmpretrain.datasets
import mmpretrain.evaluation
import mmpretrain.models  # noqa: F401
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook

import mask_plugins.engine  # noqa: F401
from mask_plugins.registry import HOOKS
from tests.common.processes import free_port

ROOT = Path(__file__).parents[2]
FEATURE = 'masked_feature/{}_resnet18-c16_1xb64-15e_digits.py'
# The config, and what makes three epochs of it reach each of its states.
METHODS = {
    'pss': (
        'pss/pss_vit-tiny_1xb16-magnitude-cyclic-80-0-30e_digits.py',
        {'model.backbone.arch.num_layers': 2, 'param_scheduler.warmup': 1},
    ),
    'cs': (
        'continuous_sparsification/cs_resnet20_1xb64-3x10e_digits.py',
        {
            'model.backbone.depth': 8,
            'param_scheduler.stage_epochs': 2,
            'param_scheduler.milestones': [1],
            'default_hooks.sparsification.rounds': 1,
            'default_hooks.sparsification.epochs_per_round': 2,
            'default_hooks.sparsification.ticket_epochs': 1,
            'find_unused_parameters': True,
        },
    ),
    'smn': (
        'self_masking/smn_resnet18-narrow_1xb64-30e_digits.py',
        {
            'model.backbone.module.init_cfg': None,
            'param_scheduler.warmup': 1,
        },
    ),
    'masked-feature-ema': (
        FEATURE.format('masked-feature-ema'),
        {'model.teacher.begin': 1},
    ),
    'self-kd': (
        FEATURE.format('self-kd'),
        {'model.teacher.begin': 1, 'model.teacher.interval': 1},
    ),
    'hgsl': ('hgsl/hgsl-k4_resnet8_1xb64-30e_digits.py', {}),
    'lwf': (
        'masked_feature/continual-lwf_resnet18-c16_1xb32-8e_digits-5tasks.py',
        {
            'train_dataloader.dataset.tasks': 2,
            'val_dataloader.dataset.tasks': 2,
            'test_dataloader.dataset.tasks': 2,
            'train_cfg.epochs': 2,
            'train_cfg.later_epochs': 1.0,
        },
    ),
    'pass': (
        'pass/pass-pretrain_resnet18_1xb8-6e_synthetic.py',
        {
            'model.backbone.base_channels': 8,
            'model.backbone.stem_channels': 8,
            'train_dataloader.batch_size': 4,
            'train_dataloader.dataset.num_clips': 18,
            'train_dataloader.dataset.clip_len': 2,
        },
    ),
}
PROCESSES = multiprocessing.get_context('forkserver')
PROCESSES.set_forkserver_preload([__name__])


@HOOKS.register_module(force=True)
class EndHook(Hook):
    """Send this process a signal in an iteration, on one rank or all."""

    priority = 'LOWEST'

    def __init__(self, iteration, rank=None, name='SIGKILL'):
        self.iteration, self.rank = iteration, rank
        self.signal = signal.Signals[name]

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == self.iteration and (
            self.rank in (None, runner.rank)
        ):
            os.kill(os.getpid(), self.signal)


@HOOKS.register_module(force=True)
class EqualRanksHook(Hook):
    """All ranks validate to the same numbers and end with one model."""

    def after_val_epoch(self, runner, metrics=None):
        self._compare(metrics)

    def after_train(self, runner):
        model = getattr(runner.model, 'module', runner.model)
        self._compare({k: v.tolist() for k, v in model.state_dict().items()})

    def _compare(self, values):
        if dist.is_initialized():
            ranks = [None] * dist.get_world_size()
            dist.all_gather_object(ranks, values)
            different = [k for k in values if ranks[0][k] != ranks[-1][k]]
            assert not different, f'ranks differ: {different}'


def write_config(method, path, hooks=()):
    """Write the config of a short run; returns the path."""
    name, options = METHODS[method]
    cfg = Config.fromfile(str(ROOT / 'configs' / name))
    loop = {} if method == 'lwf' else {'train_cfg.max_epochs': 3}
    if cfg.val_dataloader and method != 'lwf':
        loop['train_cfg.val_interval'] = 1
    cfg.merge_from_dict({
        'default_hooks.checkpoint.interval': 1,
        'train_dataloader.batch_size': 8,
        **loop,
        **options,
    })  # fmt: skip
    for part, count in (('train', 40), ('val', 45), ('test', 45)):
        # 20 images per rank are batches of 8, 8 and 4; of 45, one is padding.
        if part == 'train' and method in ('smn', 'lwf'):
            count = 80  # a part of the classes at a time
        _shrink(cfg.get(f'{part}_dataloader'), count)
    cfg.custom_hooks += [dict(type='mask_plugins.EqualRanksHook'), *hooks]
    cfg.dump(str(path))
    return path


def _shrink(value, count):
    if isinstance(value, dict):
        if value.get('type') == 'mask_plugins.Digits':
            value['indices'] = count
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _shrink(item, count)


def run_tool(folder, name, *args, ranks=1, timeout=240):
    """Run a tool in forked processes; exit codes and the output of each."""
    folder.mkdir(parents=True, exist_ok=True)
    args = [str(a) for a in args]
    port = free_port()
    if ranks > 1:
        args += ['--launcher', 'pytorch']
    files = [folder / f'output_{rank}.txt' for rank in range(ranks)]
    processes = []
    for rank, file in enumerate(files):
        env = dict(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(ranks),
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(port),
        )
        process = PROCESSES.Process(
            target=_run, args=(name, args, env, str(file))
        )
        process.start()
        processes.append(process)
    for process in processes:
        process.join(timeout)
        process.kill()
        process.join()
    codes = [process.exitcode for process in processes]
    return codes, [file.read_text() for file in files]


def _run(name, args, env, output):
    out = os.open(output, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    gc.freeze()
    os.environ.update(env)
    runner_module.collect_env = dict  # takes seconds
    os.chdir(ROOT)
    torch.set_num_threads(1)
    sys.argv = [name, *args]
    code = 1
    try:
        runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        print(end)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def metrics_of(checkpoint, config, folder):
    """What tools/test.py finds."""
    out = folder / 'metrics.json'
    codes, output = run_tool(
        folder, 'test.py', config, checkpoint, '--work-dir', folder,
        '--out', out, '--out-item', 'metrics',
    )  # fmt: skip
    assert codes == [0], output
    return json.loads(out.read_text())
