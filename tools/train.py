# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Train a model; what ``mim train mask_plugins`` starts."""

import argparse
import os
import signal

# Makes `_base_ = ['mask_plugins::...']` resolvable.
import mask_plugins  # noqa: F401
from mask_plugins.utils.known_warnings import hide_known_warnings
from mask_plugins.utils.openmmlab import imports_for

hide_known_warnings()  # in data workers, too, which import this file
with imports_for('tools/train.py'):
    from mmengine.config import DictAction


def parse_args():
    """Read the command line: mmpretrain's options, with the same meaning."""
    parser = argparse.ArgumentParser(
        description='Train a model from a config.',
        epilog='example: python tools/train.py CONFIG --work-dir work_dirs/X '
        '--cfg-options randomness.seed=1. Several processes: `torchrun '
        '--nproc_per_node 2 tools/train.py CONFIG --launcher pytorch`, or '
        '`srun ... --launcher slurm`. Both work on nodes without a GPU. '
        'SIGTERM, SIGUSR1 and Ctrl-C end a run after its iteration with '
        'exit code 75; the same command resumes it.',
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from this checkpoint; without a value, from the newest '
        'one in the work_dir, if there is one',
    )
    parser.add_argument(
        '--keep',
        metavar='POLICY',
        help="which checkpoints stay, in place of the config's "
        'max_keep_ckpts: newest:N, best and every:K, joined by commas',
    )
    parser.add_argument(
        '--amp', action='store_true', help='train in mixed precision'
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='train without validating'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size, from the base batch '
        'size that the config states',
    )
    parser.add_argument(
        '--no-pin-memory', action='store_true', help='do not pin memory'
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help='start new dataloader workers in every epoch',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change settings of the config, such as '
        'train_cfg.max_epochs=3 or "a.b=[1,2]" (no blanks)',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what starts the processes',
    )
    console = parser.add_mutually_exclusive_group()
    console.add_argument(
        '--quiet',
        action='store_true',
        help='print warnings and one line per epoch; the log file has all',
    )
    console.add_argument(
        '--verbose',
        action='store_true',
        help='print messages for debugging too',
    )
    # torch.distributed.launch writes it either way, depending on its version.
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help=argparse.SUPPRESS,
    )
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def apply_args(cfg, args):
    """Write the options that are about training into the config."""
    from mmengine.device import get_device

    from mask_plugins.apis.config import check_file
    from mask_plugins.engine.launching import run_config

    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        if get_device() == 'cpu':
            raise ValueError('--amp: mixed precision needs a GPU')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.auto_scale_lr:
        if cfg.get('auto_scale_lr') is None:
            raise ValueError(
                '--auto-scale-lr: the config has no '
                'auto_scale_lr=dict(base_batch_size=...)'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        if args.resume != 'auto':
            check_file(args.resume, '--resume')
        run_config.set_resume(cfg, args.resume)
    elif cfg.get('load_from') is not None:
        check_file(os.path.expanduser(cfg.load_from), 'load_from')
    if args.keep is not None:
        run_config.set_keep(cfg, args.keep)
    run_config.set_dataloader_defaults(
        cfg,
        pin_memory=False if args.no_pin_memory else None,
        persistent_workers=False if args.no_persistent_workers else None,
    )


def main():
    """Train."""
    args = parse_args()
    # "Stop and save" has to wait until there is something to save: the
    # PreemptionHook takes it when training begins.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    # Only now: they import torch, and mim asks for the help before each run.
    from mmengine.dist import is_main_process

    from mask_plugins.apis.config import load_config
    from mask_plugins.engine.launching import launch, run_config
    from mask_plugins.utils.compat_torch import leave_process_group

    try:
        cfg = load_config(args.config, args.work_dir, args.cfg_options)
        apply_args(cfg, args)
        if args.verbose:
            cfg.log_level = 'DEBUG'
        launch.prepare_launch(cfg, args.launcher)
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        raise SystemExit(f'train.py: {error}') from error
    runner = run_config.build_runner(cfg, args.quiet)
    handled = [getattr(hook, 'signals', ()) for hook in runner.hooks]
    if not any(signal.SIGUSR1 in signals for signals in handled):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    if args.quiet and is_main_process():
        print(f'log: {runner.logger.log_file}', flush=True)
    try:
        runner.train()
    except RuntimeError as error:
        launch.name_cause(error)
        raise
    leave_process_group()


if __name__ == '__main__':
    main()
