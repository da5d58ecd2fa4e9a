# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Time gated layers and networks on a video against the best dense ones."""

import argparse

from mask_plugins.analysis import cli
from mask_plugins.benchmarks.cli import (
    add_common_arguments,
    parse_args,
    run_benchmark,
)
from mask_plugins.benchmarks.statistics import format_target
from mask_plugins.utils.entry_point import entry_point

QUICK = dict(
    size=128,
    calibration_frames=3,
    judged_frames=12,
    exact_frames=12,
    rounds=5,
    inductor=False,
)


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/benchmarks/pass_stream.py video.avi '
        '--parts frontier --errors 0.1 0.25',
    )
    add = parser.add_argument
    add('video', nargs='?', help='file or folder (default: a drawn scene)')
    add('--parts', nargs='+', metavar='PART',
        help='layer, frontier, exact, memory; default: all')  # fmt: skip
    add('--config', metavar='CONFIG', help='of a trained classifier with '
        'gates; default: a ResNet of random weights')  # fmt: skip
    add('--checkpoint', metavar='FILE', help='its weights')
    add('--depth', type=int, help='of the random ResNet; default: 18')
    add('--dtype', choices=('fp32', 'bf16'), help='of layers and network')
    add('--no-inductor', dest='inductor', action='store_false', default=None,
        help='do not compile dense rivals')  # fmt: skip
    add('--size', type=int, help='pixels; default: 512')
    add('--patch-sizes', type=int, nargs=4, help='of the stages of a '
        'ResNet; default: those of the config, or 4 4 2 2')  # fmt: skip
    add('--place', choices=('block', 'conv'), default='block')
    add('--errors', type=float, nargs='+', default=[0.1, 0.25],
        help='mean relative L2 errors to calibrate for')  # fmt: skip
    add('--margin', type=float,
        help='share of an error to aim at; default: 0.9')  # fmt: skip
    add('--calibration-frames', type=int,
        help='of each clip; default: 11')  # fmt: skip
    add('--calibration-clips', type=int,
        help='spread over the first half; default: 2')  # fmt: skip
    add('--check-frames', type=int,
        help='of a longer clip on which thresholds must hold, too; '
        'default: none')  # fmt: skip
    add('--refresh-every', type=int, metavar='N',
        help='compute every patch again within N frames; 0: never; '
        'default: 10')  # fmt: skip
    add('--judged-frames', type=int, help='default: 150')
    add('--exact-frames', type=int, help='default: 500')
    add_common_arguments(
        parser, 'work_dirs/benchmarks/pass_stream.json',
        '128 px, 12 frames: half a minute',
    )  # fmt: skip
    return parser


def print_result(result: dict) -> None:
    """Print the tables and the targets."""
    if 'layer' in result:
        cli.print_table(
            ['layer', 'path', 'skip', 'gated ms', 'dense ms', 'speed-up'],
            [
                [
                    '{channels} ch, {side} px, patch {patch}'.format(**row),
                    row['path'],
                    f'{row["skip"]:g}',
                    f'{row["ms"]["median"]:.3f}',
                    f'{row["dense_ms"]["median"]:.3f}',
                    f'{row["speed_up"]["median"]:.2f}',
                ]
                for row in result['layer']
            ],
            f'3x3 convolutions, {result["settings"]["dtype"]}, dense with a '
            'packed weight where there is one',
        )
    if 'frontier' in result:
        cli.print_table(
            ['aimed at', 'error', 'p95', 'speed-up', 'of fastest',
             'of limit', 'p50 ms', 'dense', 'p95 ms', 'dense', 'skipped',
             'top-1', 'top-5'],
            [
                [
                    f'{row["target"]:g}',
                    f'{row["error_mean"]:.3f}',
                    f'{row["error_p95"]:.3f}',
                    f'{row["speed_up"]:.2f}',
                    f'{row["speed_up_fastest"]:.2f}',
                    f'{row["share_of_limit"]:.2f}',
                    f'{row["gated_p50"]:.1f}',
                    f'{row["dense_p50"]:.1f}',
                    f'{row["gated_p95"]:.1f}',
                    f'{row["dense_p95"]:.1f}',
                    f'{row["skipped"]:.2f}',
                    f'{row["agreement"]:.3f}',
                    f'{row["agreement_top5"]:.3f}',
                ]
                for row in result['frontier']
            ],
            f'{result["settings"]["video"]}, second half',
        )  # fmt: skip
    for key in ('exact', 'memory'):
        if key in result:
            print(key, {k: round(v, 6) for k, v in result[key].items()})
    for found in result['targets']:
        print(format_target(found))


@entry_point()
def main() -> None:
    """Run the tool."""
    args = parse_args(make_parser())
    from mask_plugins.benchmarks.pass_stream import PassStreamBenchmark
    from mask_plugins.visualization.stream_charts import plot_pass_stream

    run_benchmark(
        args, PassStreamBenchmark, print_result, plot_pass_stream, QUICK
    )


if __name__ == '__main__':
    main()
