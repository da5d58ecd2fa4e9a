# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Draw the training of one or several runs from their logs."""

import os
import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Draw losses and accuracy against epochs and hours, iteration times '
        'per drop ratio, and an overview, from train_log.json, val_log.json '
        'and, if it is there, sweep_drop.json. Writes training_summary.json '
        'and the pictures.',
        'plot_training',
        'work_dirs/baseline work_dirs/cyclic --out figures',
    )
    parser.add_argument('work_dirs', nargs='+', help='folders of the runs')
    parser.add_argument(
        '--names', nargs='+', help='what to call them (default: the folders)'
    )
    parser.add_argument(
        '--smooth',
        type=cli.positive,
        metavar='N',
        help='iterations over which the training loss is averaged (default: '
        'those of an epoch)',
    )
    parser.add_argument(
        '--epoch',
        type=int,
        metavar='E',
        help='epoch, from 0, whose iteration times are drawn (default: the '
        'second)',
    )
    cli.add_output_arguments(
        parser, 'the work_dir, or the folder that all have in common'
    )
    args = parser.parse_args(argv)
    if args.names and len(args.names) != len(args.work_dirs):
        parser.error(
            f'{len(args.names)} --names for {len(args.work_dirs)} work_dirs'
        )
    return args


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Read, draw, then write."""
    from mask_plugins.analysis.runs.run_log import RunLog
    from mask_plugins.utils.files import write_json
    from mask_plugins.utils.progress import track
    from mask_plugins.visualization import save_figure

    paths = [osp.abspath(folder) for folder in args.work_dirs]
    out = cli.output_folder(args.out, osp.commonpath(paths))
    names = args.names or unique_names(paths)
    pairs = list(zip(args.work_dirs, names))
    runs = [RunLog(*pair) for pair in track(pairs, 'logs')]
    figures = draw(args, runs)
    summary = [summarize(one) for one in runs]
    print_summary(summary)
    for note in (note for one in runs for note in one.notes):
        print(f'note: {note}')
    written = [write_json(osp.join(out, 'training_summary.json'), summary)]
    for name in track(list(figures), 'pictures'):
        path = osp.join(out, f'{name}.{args.format}')
        written.append(save_figure(figures[name], path))
    cli.print_written(written)


def unique_names(paths):
    """Last part of each path; more parts where they are equal."""
    names = [osp.basename(path) for path in paths]
    if len(set(names)) == len(names):
        return names
    common = osp.commonpath(paths)
    return [os.path.relpath(path, common) for path in paths]


def draw(args, runs):
    """All figures by name; those without data are left out."""
    import numpy as np

    from mask_plugins.analysis.runs.iteration_times import epoch_times
    from mask_plugins.analysis.runs.run_log import smooth
    from mask_plugins.utils.files import read_json_lines
    from mask_plugins.visualization import (
        draw_curves,
        draw_overview,
        draw_train_times,
    )

    times = [epoch_times(one, args.epoch) for one in runs]
    figures = {'train_times': draw_train_times(times)}
    curves = []
    for one in runs:
        raw = one.column('loss')
        if np.isfinite(raw).any():
            window = args.smooth or one.iters_per_epoch
            curves.append(
                dict(
                    name=one.name,
                    epoch=one.epoch,
                    hours=one.hours,
                    value=smooth(raw, window),
                    raw=raw,
                )
            )
    if curves:
        figures['training_loss'] = draw_curves(curves, 'training loss')
    for key, figure, label in (
        ('loss', 'validation_loss', 'validation loss'),
        ('acc1', 'validation_accuracy', 'top-1 [%]'),
    ):
        curves = [c for one in runs for c in val_curve(one, key)]
        if curves:
            figures[figure] = draw_curves(curves, label)
    if curves:
        sweeps = {}
        for one in runs:
            path = osp.join(one.folder, 'sweep_drop.json')
            found = osp.isfile(path)
            sweeps[one.name] = read_json_lines(path) if found else []
        sweeps = sweeps if any(sweeps.values()) else None
        figures['overview'] = draw_overview(curves, sweeps)
    return figures


def val_curve(run, key):
    """A list with the curve of a metric, empty if it was not logged."""
    import numpy as np

    value = run.val_column(key)
    known = np.isfinite(value)
    if not known.any():
        return []
    return [
        dict(
            name=run.name,
            epoch=run.val_epoch[known],
            hours=run.val_hours[known],
            value=value[known],
        )
    ]


def summarize(run):
    """What a run reached and how long it took."""
    from mask_plugins.analysis.runs.iteration_times import times_by_ratio

    accuracy = [c['value'] for c in val_curve(run, 'acc1')]
    return dict(
        name=run.name,
        iterations=len(run.train),
        hours=float(run.hours[-1]),
        acc1_final=float(accuracy[0][-1]) if accuracy else None,
        acc1_best=float(accuracy[0].max()) if accuracy else None,
        times=times_by_ratio(run),
    )


def print_summary(summary):
    """Print the runs, and the time per drop ratio."""
    rows, times = [], []
    for one in summary:
        accuracy = [one['acc1_final'], one['acc1_best']]
        accuracy = [None if a is None else f'{a:.2f}' for a in accuracy]
        rows.append(
            [one['name'], one['iterations'], f'{one["hours"]:.4f}', *accuracy]
        )
        slowest = one['times'][0]['mean_ms']  # the lowest drop ratio
        for row in one['times'] if len(one['times']) <= 20 else []:
            times.append(
                [
                    one['name'],
                    f'{row["drop_ratio"]:g}',
                    f'{100 * row["share"]:.1f}',
                    f'{row["mean_ms"]:.2f}',
                    f'{slowest / row["mean_ms"]:.2f}',
                ]
            )
    cli.print_table(
        ['run', 'iterations', 'hours', 'final top-1 [%]', 'best top-1 [%]'],
        rows,
    )
    cli.print_table(
        ['run', 'drop ratio', 'iterations [%]', 'ms', 'speed-up'], times
    )


if __name__ == '__main__':
    main()
