# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Break-even and threshold of every gated layer, for this machine."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.analysis.streams.cli import add_stream_arguments, prepare
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Time each gated layer (the share of active patches up to which it '
        'is faster sparse) and choose its threshold: the fastest that keep '
        'to --target-error, or those that skip --target-skip everywhere. '
        'Writes gates.json, which GatedResNet(rules=FILE), '
        'apply_patch_gates and the other stream tools read.',
        'calibrate_gate',
        'video.avi --frames 16 --check-frames 40 --target-error 0.1 --out '
        'work_dirs/gates',
    )
    add_stream_arguments(parser, frames=16, camera=False)
    group = parser.add_mutually_exclusive_group()
    group.add_argument('--target-error', type=float, metavar='E',
        help='mean relative L2 error of the last feature (default: '
        '0.1)')  # fmt: skip
    group.add_argument('--target-skip', type=float, metavar='S',
        help='share of patches that each layer skips')  # fmt: skip
    parser.add_argument('--check-frames', type=cli.positive, metavar='N',
        help='frames after those of --frames; thresholds must keep to the '
        'error on all of them, too (default: none)')  # fmt: skip
    cli.add_output_arguments(parser, 'work_dirs/gates')
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Measure, search, write."""
    from mask_plugins.analysis.streams.frame_source import to_input
    from mask_plugins.analysis.streams.gate_calibration import (
        GRID,
        ClipTrials,
        calibrate,
        gate_rules,
        measure_layer_costs,
    )
    from mask_plugins.benchmarks.statistics import machine
    from mask_plugins.utils.files import write_json

    out = cli.output_folder(args.out, 'work_dirs/gates')
    target = args.target_error
    if target is None and args.target_skip is None:
        target = 0.1
    if args.check_frames and target is None:
        raise ValueError(
            '--check-frames needs --target-error, got --target-skip '
            f'{args.target_skip}'
        )
    count = args.frames
    args.frames += args.check_frames or 0
    setup = prepare(args)
    every = [to_input(frame) for frame in setup.frames]
    images = every[:count]
    if args.check_frames and len(every) <= count:
        raise ValueError(
            f'--check-frames needs frames after the first {count}, the video '
            f'has {len(every)}'
        )
    costs = measure_layer_costs(setup.stream, images[0], log=print)
    trials = ClipTrials(setup.stream, [images], setup.dense, costs)
    check = None
    if args.check_frames:
        check = ClipTrials(setup.stream, [every], setup.dense, costs)
    trial = calibrate(
        trials, GRID, target, args.target_skip, log=print, check=check
    )
    cli.print_table(
        ['layer', 'dense ms', 'gate ms', 'break-even', 'threshold', 'skip'],
        [
            [
                name,
                f'{1000 * cost.dense:.2f}',
                f'{1000 * cost.gate:.2f}',
                f'{cost.break_even:.2f}',
                'dense'
                if trial.thresholds[name] is None
                else f'{trial.thresholds[name]:.3g}',
                f'{trial.skip_ratios[name]:.2f}',
            ]
            for name, cost in costs.items()
        ],
        setup.title,
    )
    speed = trials.dense_seconds / trial.cost
    print(
        f'error {trial.error:.4f}, modeled speed-up of the gated layers '
        f'{speed:.2f}, on the {len(every)} frames it was calibrated on'
    )
    result = dict(
        rules=gate_rules(trial, costs, setup.stream),
        title=setup.title,
        target_error=target,
        target_skip=args.target_skip,
        error=trial.error,
        modeled_speed_up=speed,
        layers={name: cost.as_dict() for name, cost in costs.items()},
        machine=machine('cpu'),
    )
    cli.print_written([write_json(osp.join(out, 'gates.json'), result)])


if __name__ == '__main__':
    main()
