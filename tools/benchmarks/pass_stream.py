# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time gated layers and networks on a video against the best dense ones."""

import argparse
import sys

import torch

from mask_plugins.analysis import cli
from mask_plugins.analysis.streams.gated_stream import PATCH_SIZES
from mask_plugins.benchmarks.pass_stream import PARTS, PassStreamBenchmark
from mask_plugins.benchmarks.statistics import format_target
from mask_plugins.utils.files import write_json
from mask_plugins.utils.timing import Stopwatch
from mask_plugins.visualization.figure import save_figure
from mask_plugins.visualization.stream_charts import plot_pass_stream

QUICK = dict(
    size=128, calibration_frames=3, judged_frames=12, exact_frames=12, rounds=5
)
FULL = dict(
    size=512,
    calibration_frames=11,
    judged_frames=150,
    exact_frames=500,
    rounds=30,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/benchmarks/pass_stream.py video.avi '
        '--parts frontier --errors 0.1 0.25',
    )
    add = parser.add_argument
    add('video', nargs='?', help='file or folder (default: a drawn scene)')
    add('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    add('--depth', type=int, default=18, help='of the ResNet')
    add('--size', type=int, help='pixels; default: 512')
    add('--patch-sizes', type=int, nargs=4, default=list(PATCH_SIZES))
    add('--place', choices=('block', 'conv'), default='block')
    add('--errors', type=float, nargs='+', default=[0.1, 0.25],
        help='mean relative L2 errors to calibrate for')  # fmt: skip
    add('--margin', type=float, default=0.9,
        help='share of an error that calibration aims at')  # fmt: skip
    add('--calibration-frames', type=int,
        help='of each clip; default: 11')  # fmt: skip
    add('--calibration-clips', type=int, default=2,
        help='spread over the first half; default: %(default)s')  # fmt: skip
    add('--check-frames', type=int, default=0,
        help='of a longer clip on which thresholds must hold, too; '
        'default: none')  # fmt: skip
    add('--refresh-every', type=int, default=0, metavar='N',
        help='compute every N-th frame in full; default: never')  # fmt: skip
    add('--clock', choices=('wall', 'cpu'), default='wall',
        help='cpu: time of this process, on a machine that others use; '
        'with --threads 1')  # fmt: skip
    add('--judged-frames', type=int, help='default: 150')
    add('--exact-frames', type=int, help='default: 500')
    add('--rounds', type=int, help='of the layer; default: 30')
    add('--seed', type=int, default=0)
    add('--threads', type=int, help='CPU threads (default: all)')
    add('--quick', action='store_true',
        help='128 px, 12 frames: half a minute; options that are given '
        'hold')  # fmt: skip
    add('--out', default='work_dirs/benchmarks/pass_stream.json',
        metavar='FILE.json', help='results; the picture is next to them '
        '(default: %(default)s)')  # fmt: skip
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if not args.out.endswith('.json'):
        parser.error(f'--out must end in .json, got {args.out!r}')
    return args


def print_result(result: dict) -> None:
    """Print the tables and the targets."""
    if 'layer' in result:
        cli.print_table(
            ['skip ratio', 'gated ms', 'dense ms', 'speed-up'],
            [
                [
                    f'{row["skip"]:g}',
                    f'{row["ms"]["median"]:.3f}',
                    f'{row["dense_ms"]["median"]:.3f}',
                    f'{row["speed_up"]["median"]:.2f}',
                ]
                for row in result['layer']
            ],
            '3x3 convolution, 64 channels, 56x56, patches of 8',
        )
    if 'frontier' in result:
        cli.print_table(
            ['aimed at', 'error', 'p95', 'speed-up', 'frames/s', 'dense',
             'p95 ms', 'dense', 'skip', 'agree'],
            [
                [
                    f'{row["target"]:g}',
                    f'{row["error_mean"]:.3f}',
                    f'{row["error_p95"]:.3f}',
                    f'{row["speed_up"]:.2f}',
                    f'{row["fps_gated"]:.1f}',
                    f'{row["fps_dense"]:.1f}',
                    f'{row["gated_p95"]:.1f}',
                    f'{row["dense_p95"]:.1f}',
                    f'{row["skip_ratio"]:.2f}',
                    f'{row["agreement"]:.3f}',
                ]
                for row in result['frontier']
            ],
            f'{result["settings"]["video"]}, second half, random weights',
        )  # fmt: skip
    for key in ('exact', 'memory'):
        if key in result:
            print(key, {k: round(v, 6) for k, v in result[key].items()})
    for found in result['targets']:
        print(format_target(found))


def main() -> None:
    """Run the tool."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    log = Stopwatch()

    given = {
        key: value
        for key, value in vars(args).items()
        if key not in ('quick', 'out', 'threads')
    }
    try:
        result = PassStreamBenchmark(**given, log=log).run()
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print_result(result)
    picture = args.out[: -len('.json')] + '.png'
    write_json(args.out, result)
    save_figure(plot_pass_stream(result), picture, dpi=150)
    print(f'{log.seconds:.0f} s; wrote {args.out}, {picture}')


if __name__ == '__main__':
    main()
