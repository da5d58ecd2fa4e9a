# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Mean accuracy matrix of runs over tasks, as table and picture."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Average the accuracy matrices of several runs over the same number '
        'of tasks, such as of several seeds. Writes accuracy_matrix_mean.md, '
        '.json and a picture.',
        'accuracy_matrix',
        'work_dirs/lwf-seed{0,1,2} --title LwF',
    )
    parser.add_argument('work_dirs', nargs='+', help='folders of the runs')
    parser.add_argument('--title', default='', help='of the picture')
    cli.add_output_arguments(parser, 'the folder of the first run')
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Read, average, then write."""
    from mask_plugins.functional import continual as reports
    from mask_plugins.utils.files import (
        read_json,
        write_atomically,
        write_json,
    )
    from mask_plugins.visualization import draw_accuracy_matrix, save_figure

    found = [
        read_json(osp.join(folder, f'{reports.REPORT}.json'))
        for folder in args.work_dirs
    ]
    report = reports.mean_report(found)
    table = reports.matrix_table(report)
    print(table)
    out = cli.output_folder(args.out, args.work_dirs[0])
    path = osp.join(out, f'{reports.REPORT}_mean')
    figure = draw_accuracy_matrix(report, args.title)
    cli.print_written(
        [
            write_atomically(f'{path}.md', table),
            write_json(f'{path}.json', report),
            save_figure(figure, f'{path}.{args.format}'),
        ]
    )


if __name__ == '__main__':
    main()
