# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Run the rows of the results page, check them, and write the page."""

import datetime
import os
import os.path as osp
import platform
import shlex
import subprocess
import sys

from mask_plugins.analysis import cli
from mask_plugins.utils.cpus import cpu_name
from mask_plugins.utils.entry_point import entry_point

ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
PUBLISHED = osp.join(ROOT, 'docs', 'results')


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Run rows of docs/results/rows.yml and write one JSON file for each. '
        'Seeds that the file has are not run again. Where docs/results has a '
        'row already, a value that left its spread is named, and the exit '
        'code is 1. With --page, no run: docs/results.md is written from '
        'docs/results/*.json.',
        'results',
        '--small --out outputs/results',
        folder='',
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        '--small', action='store_true', help='the rows on digits'
    )
    which.add_argument('--rows', nargs='+', metavar='NAME', help='these rows')
    which.add_argument(
        '--page', action='store_true', help='write docs/results.md'
    )
    parser.add_argument(
        '--seeds', nargs='+', type=int, default=[0, 1, 2], metavar='N'
    )
    parser.add_argument(
        '--note', help='what a reader should know about these runs'
    )
    parser.add_argument(
        '--out',
        default='outputs/results',
        metavar='DIR',
        help='folder of the runs and the JSON files (default: %(default)s); '
        'docs/results publishes them',
    )
    parser.add_argument(
        '--work-dirs',
        metavar='DIR',
        help='folder of the runs, if not that of the JSON files',
    )
    cli.add_config_options(parser)
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    rows = read_rows()
    left = write_page(rows) if args.page else run(args, rows)
    for line in left:
        print(f'left its spread: {line}')
    if left:
        sys.exit(1)


def read_rows():
    """The rows, by name."""
    import yaml

    with open(osp.join(PUBLISHED, 'rows.yml'), encoding='utf-8') as file:
        return {row['name']: row for row in yaml.safe_load(file)['rows']}


def write_page(rows):
    """Write docs/results.md."""
    from mask_plugins.analysis.runs.result_rows import (
        read_results,
        results_page,
    )
    from mask_plugins.utils.files import write_atomically

    page = results_page(list(rows.values()), read_results(PUBLISHED))
    path = osp.join(ROOT, 'docs', 'results.md')
    cli.print_written([write_atomically(path, page)])
    return []


def run(args, rows):
    """Run rows one after the other; name what left its spread."""
    from mask_plugins.analysis.runs.result_rows import (
        left_spread,
        mean_and_spread,
        read_results,
    )
    from mask_plugins.utils.files import write_json

    names = args.rows or [n for n, row in rows.items() if row.get('small')]
    unknown = [name for name in names if name not in rows]
    if unknown:
        raise ValueError(f'no row {unknown[0]!r}; there are {", ".join(rows)}')
    out = cli.output_folder(args.out, '.')
    published, left = read_results(PUBLISHED), []
    for name in names:
        row, record = rows[name], read_results(out).get(name)
        record = record or dict(format=1, row=row, runs=[])
        for seed in args.seeds:
            if any(one['seed'] == seed for one in record['runs']):
                continue
            print(f'{name}, seed {seed}', flush=True)
            record['runs'].append(run_seed(args, rows, row, seed))
            record.update(about(args, name))
            write_json(osp.join(out, f'{name}.json'), record)
        message = None
        if name in published and osp.abspath(out) != osp.abspath(PUBLISHED):
            message = left_spread(record, published[name])
        print(f'{name}: {row["unit"]} {mean_and_spread(record)}')
        left += [message] if message else []
    return left


def run_seed(args, rows, row, seed):
    """Train one seed of a row, and of the row that it needs."""
    from mask_plugins.analysis.runs.run_log import RunLog

    options = [f'randomness.seed={seed}', *args.cfg_options]
    if 'needs' in row:
        needed = work_dir(args, row['needs'], seed)
        if not osp.isfile(osp.join(needed, 'last_checkpoint')):
            run_seed(args, rows, rows[row['needs']], seed)
        with open(osp.join(needed, 'last_checkpoint')) as file:
            options.append(f'{row["option"]}={file.read().strip()}')
    folder = work_dir(args, row['name'], seed)
    command = [sys.executable, osp.join(ROOT, 'tools', 'train.py')]
    command += [row['config'], '--quiet', '--resume', '--work-dir', folder]
    done = subprocess.run(
        [*command, '--cfg-options', *options],
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        check=False,
    )
    if done.returncode:
        raise OSError(f'{row["name"]}, seed {seed}: the run failed, see above')
    log = RunLog(folder)
    values = log.series(row['metric'])[2]
    if not len(values):
        raise ValueError(
            f'{row["name"]}: the log has no {row["metric"]}; it has '
            f'{", ".join(log.keys)}'
        )
    seconds = float(log.column('time').sum() + log.val_column('time').sum())
    return dict(seed=seed, value=float(values[-1]), seconds=round(seconds, 1))


def work_dir(args, name, seed):
    """Where a run is."""
    return osp.join(args.work_dirs or args.out, 'runs', f'{name}-{seed}')


def about(args, name):
    """Machine, command, commit and date."""
    import torch

    seeds = ' '.join(map(str, args.seeds))
    command = f'python tools/results.py --rows {name} --seeds {seeds}'
    if args.cfg_options:
        command += f' --cfg-options {shlex.join(args.cfg_options)}'
    return dict(
        machine=f'{cpu_name()}, {os.cpu_count()} cores, one thread; Python '
        f'{platform.python_version()}, torch {torch.__version__}',
        command=command,
        commit=commit(),
        date=datetime.date.today().isoformat(),
        **(dict(note=args.note) if args.note else {}),
    )


def commit():
    """The commit of the checkout; '+' if files were changed since."""
    git = ['git', '-C', ROOT]
    try:
        name = subprocess.run(
            [*git, 'rev-parse', '--short', 'HEAD'],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        changed = subprocess.run(
            [*git, 'status', '--porcelain', '--untracked-files=no'],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'
    return f'{name}+' if changed else name


if __name__ == '__main__':
    main()
