# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Test a checkpoint; what ``mim test mask_plugins`` starts."""

import argparse
import copy
import os

# Makes `_base_ = ['mask_plugins::...']` resolvable.
import mask_plugins  # noqa: F401
from mask_plugins.utils.known_warnings import hide_known_warnings
from mask_plugins.utils.openmmlab import imports_for

hide_known_warnings()  # in data workers, too, which import this file
with imports_for('tools/test.py'):
    from mmengine.config import ConfigDict, DictAction


def parse_args():
    """Read the command line: mmpretrain's options, with the same meaning."""
    parser = argparse.ArgumentParser(
        description='Test a checkpoint on the test set of a config.',
        epilog='example: python tools/test.py CONFIG work_dirs/X/epoch_30.pth '
        '--out metrics.json --out-item metrics',
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder for the metrics')
    parser.add_argument('--out', help='file for the results (.pkl or .json)')
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what --out holds. Defaults to the predictions',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change settings of the config, such as '
        'test_dataloader.batch_size=64 or "a.b=[1,2]" (no blanks)',
    )
    parser.add_argument(
        '--amp', action='store_true', help='test in mixed precision'
    )
    parser.add_argument(
        '--show-dir', help='folder for pictures of the results'
    )
    parser.add_argument(
        '--show', action='store_true', help='show the results in a window'
    )
    parser.add_argument(
        '--interval', type=int, default=1, help='draw every n-th sample'
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds for which a window stays',
    )
    parser.add_argument(
        '--no-pin-memory', action='store_true', help='do not pin memory'
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='average over augmented images: those of tta_model and '
        'tta_pipeline in the config, else a horizontal flip',
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
        help='print warnings and the metrics; the log file has the rest',
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
    if args.out_item is not None and args.out is None:
        parser.error('--out-item needs --out: it says what that file holds')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def use_tta(cfg):
    """Wrap the model and the test pipeline for test-time augmentation."""
    pipeline = copy.deepcopy(cfg.test_dataloader.dataset.pipeline)
    flips = [dict(type='RandomFlip', prob=prob) for prob in (1.0, 0.0)]
    both = dict(type='TestTimeAug', transforms=[flips, [pipeline[-1]]])
    cfg.setdefault('tta_model', dict(type='mmpretrain.AverageClsScoreTTA'))
    cfg.setdefault('tta_pipeline', [*pipeline[:-1], both])
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)


def apply_args(cfg, args):
    """Write the options that are about testing into the config."""
    from mask_plugins.apis.config import check_file
    from mask_plugins.engine.launching import run_config

    check_file(args.checkpoint, 'checkpoint')
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir is not None:
        if 'visualization' not in cfg.get('default_hooks', {}):
            raise ValueError(
                '--show and --show-dir: the config has no '
                'default_hooks.visualization=dict(type="VisualizationHook")'
            )
        cfg.default_hooks.visualization.update(
            enable=True,
            show=args.show,
            wait_time=args.wait_time,
            out_dir=args.show_dir,
            interval=args.interval,
        )
    if args.tta:
        use_tta(cfg)
    run_config.set_dataloader_defaults(
        cfg,
        fields=['test_dataloader'],
        pin_memory=False if args.no_pin_memory else None,
    )


def main():
    """Test."""
    args = parse_args()
    # Only now: they import torch, and mim asks for the help before each run.
    import mmengine
    from mmengine.dist import is_main_process
    from mmengine.evaluator import DumpResults

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
        raise SystemExit(f'test.py: {error}') from error
    runner = run_config.build_runner(cfg, args.quiet)
    if args.out and args.out_item != 'metrics':
        runner.test_evaluator.metrics.append(DumpResults(args.out))
    metrics = runner.test()
    if args.quiet and is_main_process():
        for name, value in metrics.items():
            text = f'{value:.4g}' if isinstance(value, float) else value
            print(f'{name}: {text}')
    if args.out and args.out_item == 'metrics':
        mmengine.dump(metrics, args.out)
    leave_process_group()


if __name__ == '__main__':
    main()
