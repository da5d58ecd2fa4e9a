# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Compare runs: one table with mean and spread over seeds, and curves."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Compare runs from their logs. Runs whose configs in the work_dir '
        'differ in nothing but the seed are one row, with mean and standard '
        'deviation. Writes compare_runs.md, .csv, .json and a picture.',
        'compare_runs',
        'work_dirs/baseline-seed{0,1,2} work_dirs/cyclic-seed{0,1,2} '
        '--metrics top-1 loss:min',
    )
    parser.fromfile_prefix_chars = '@'
    parser.add_argument(
        'work_dirs',
        nargs='+',
        help='folders of the runs, or @FILE with one a line',
    )
    parser.add_argument(
        '--group',
        metavar='REGEX',
        help='group by the first parenthesis of REGEX, or all it matches, in '
        'the path of a run',
    )
    parser.add_argument(
        '--metrics',
        nargs='+',
        metavar='KEY[:max|:min]',
        help='keys of val_log.json or train_log.json, and which end is better '
        '(default: top-1, and where there are any, RankMe, linear probe, k-NN '
        'and accuracies on other test sets)',
    )
    parser.add_argument(
        '--include-unfinished',
        action='store_true',
        help='take runs in that have not reached their last epoch',
    )
    cli.add_output_arguments(parser, 'the folder that all runs have in common')
    cli.add_html_argument(parser)
    args = parser.parse_args(argv)
    args.command = cli.command_line('analysis/compare_runs', argv)
    return args


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Read, compare, then write."""
    from mask_plugins.analysis.runs import run_columns, run_tables
    from mask_plugins.analysis.runs import run_comparison as comparison
    from mask_plugins.analysis.runs.mean_curves import mean_curves
    from mask_plugins.utils.files import write_atomically, write_json
    from mask_plugins.visualization import (
        HtmlReport,
        draw_accuracy_rank,
        draw_curves,
        save_figure,
    )

    paths = [osp.abspath(folder) for folder in args.work_dirs]
    common = osp.commonpath(paths)
    if len(paths) > 1 and common == osp.abspath(osp.sep):
        common = '.'
    out = cli.output_folder(args.out, common)
    metrics = [comparison.Metric.parse(text) for text in args.metrics or ()]
    runs, notes = read(args)
    metrics = metrics or run_columns.default_metrics(runs)
    groups = comparison.group_runs(runs, args.group)
    rows = comparison.summarize(groups, metrics)
    figures = {}
    for number, metric in enumerate(metrics):
        curves = mean_curves(groups, metric.key)
        if curves:
            suffix = f'_{metric.key}'.replace('/', '-') if number else ''
            title = ''
            if any('spread' in curve for curve in curves):
                title = 'mean and standard deviation over seeds'
            figures[f'compare_runs{suffix}'] = draw_curves(
                curves, metric.title, title
            )
    rank = run_columns.rank_metric(metrics)
    if rank is not None and metrics[0] is not rank:
        points = run_columns.accuracy_and_rank(rows, metrics[0].key, rank.key)
        if points:
            figures['compare_runs_accuracy-rank'] = draw_accuracy_rank(
                points, metrics[0].title, rank.title
            )
    cells = [run_tables.cells(row) for row in rows]
    cli.print_table(run_tables.header(rows), cells)
    for note in notes:
        print(f'note: {note}')
    table = osp.join(out, 'compare_runs')
    written = [
        write_atomically(f'{table}.md', run_tables.to_markdown(rows, notes)),
        write_atomically(f'{table}.csv', run_tables.to_csv(rows)),
        write_json(f'{table}.json', dict(groups=rows, notes=notes)),
    ]
    if args.html:
        report = HtmlReport('Comparison of runs', args.command)
        report.add_table(run_tables.header(rows), cells)
        report.add_notes(notes)
        for name, figure in figures.items():
            report.add_figure(figure, name.replace('_', ' '))
        written.append(report.save(f'{table}.html'))
    for name, figure in figures.items():
        path = osp.join(out, f'{name}.{args.format}')
        written.append(save_figure(figure, path))
    cli.print_written(written)


def read(args):
    """The runs that can be compared, and notes about the others."""
    from mask_plugins.analysis.runs.run_comparison import read_run
    from mask_plugins.utils.progress import track

    runs, notes = [], []
    for folder in track(args.work_dirs, 'runs'):
        try:
            one = read_run(folder)
        except FileNotFoundError as error:
            notes.append(f'left out: {error}')
            continue
        notes += one.log.notes
        unfinished = one.done()
        if unfinished and not args.include_unfinished:
            notes.append(
                f'left out: {folder} is unfinished ({unfinished}); '
                '--include-unfinished takes it in'
            )
            continue
        if unfinished:
            notes.append(f'{folder} is unfinished ({unfinished})')
        if one.config is None:
            notes.append(f'{folder} has no config: grouped by its name')
        runs.append(one)
    if not runs:
        raise ValueError('no run to compare. ' + '; '.join(notes))
    return runs, notes


if __name__ == '__main__':
    main()
