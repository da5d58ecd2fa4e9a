# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Error against speed over thresholds."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.analysis.streams.cli import add_stream_arguments, prepare
from mask_plugins.utils.entry_point import entry_point

THRESHOLDS = [0.01, 0.02, 0.05, 0.1, 0.2]


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Run a video at several thresholds, one for all gates at a time, '
        'frame by frame next to the dense network; with --gates also at those '
        'of the file. Writes skip_sweep.json and a picture of the error '
        'against the speed-up.',
        'skip_sweep',
        'video.avi --frames 60 --thresholds 0.02 0.05 0.1',
    )
    add_stream_arguments(parser, frames=60, camera=False)
    parser.add_argument('--thresholds', nargs='+', type=float, metavar='T',
        default=THRESHOLDS, help='default: '
        f'{" ".join(map(str, THRESHOLDS))}')  # fmt: skip
    cli.add_output_arguments(parser, 'work_dirs/skip_sweep')
    cli.add_html_argument(parser)
    args = parser.parse_args(argv)
    args.command = cli.command_line('analysis/skip_sweep', argv)
    return args


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Measure, then write."""
    from mask_plugins.analysis.streams.skip_sweep import sweep_thresholds
    from mask_plugins.benchmarks.statistics import machine
    from mask_plugins.utils.files import write_json
    from mask_plugins.visualization import HtmlReport, save_figure
    from mask_plugins.visualization.stream_charts import draw_skip_sweep

    out = cli.output_folder(args.out, 'work_dirs/skip_sweep')
    setup = prepare(args)
    rows = sweep_thresholds(setup, args.thresholds, bool(args.gates))
    columns = ['threshold', 'error', 'p95', 'speed-up', 'p50 ms', 'p95 ms']
    columns += ['skip', 'agree']
    cells = [
        [
            row['name'],
            f'{row["error_mean"]:.4f}',
            f'{row["error_p95"]:.4f}',
            f'{row["speed_up"]:.2f}',
            f'{row["gated_p50"]:.1f}',
            f'{row["gated_p95"]:.1f}',
            f'{row["skip_ratio"]:.2f}',
            f'{row["agreement"]:.3f}',
        ]
        for row in rows
    ]
    cli.print_table(columns, cells, setup.title)
    figure = draw_skip_sweep(rows, setup.title)
    result = dict(title=setup.title, machine=machine('cpu'), rows=rows)
    written = [
        write_json(osp.join(out, 'skip_sweep.json'), result),
        save_figure(figure, osp.join(out, f'skip_sweep.{args.format}')),
    ]
    if args.html:
        report = HtmlReport('Error against speed', args.command)
        report.add_table(columns, cells, setup.title)
        report.add_figure(figure, 'error of the feature against the speed-up')
        written.append(report.save(osp.join(out, 'skip_sweep.html')))
    cli.print_written(written)


if __name__ == '__main__':
    main()
