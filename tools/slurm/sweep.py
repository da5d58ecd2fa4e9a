# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Plan a sweep, run it as a SLURM array or here, watch it, collect it."""

import argparse
import os.path as osp
import sys

from mask_plugins.utils.entry_point import entry_point

HERE = osp.dirname(osp.abspath(__file__))
EXAMPLE = """example: python tools/slurm/sweep.py plan CONFIG --set \\
    train_cfg.max_epochs=3,5 --seeds 0,1 --out work_dirs/two
then, with the same tool:
  submit work_dirs/two --gres gpu:1 --time 4:00:00 --throttle 4
  status work_dirs/two --watch 10
  resubmit work_dirs/two
  collect work_dirs/two
and a search, by optuna, of what a .yaml describes:
  search SEARCH.yaml --out work_dirs/search -j 2
CONFIG is a config, or a .yaml with a grid or a list; see README.md next to
this tool. Without SLURM, `run --local -j 2` takes the place of `submit`.
After an installation: mim run mask_plugins sweep -- --help
"""


def parse_args(argv=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest='command', required=True)

    def command(name, what):
        return commands.add_parser(name, help=what, description=what)

    one = command('plan', 'print the runs and the script, and write both')
    one.add_argument('target', help='config, or .yaml of a sweep, or the '
        'name of one of mask_plugins')  # fmt: skip
    add_plan_arguments(one)
    add_slurm_arguments(one)
    one.add_argument(
        '--measure',
        action='store_true',
        help='train one epoch here, and estimate the hours from it',
    )

    one = command('submit', 'submit every run that is not done, as an array')
    one.add_argument('target', help='folder of a sweep, config, or .yaml')
    add_plan_arguments(one)
    add_slurm_arguments(one)

    one = command('run', 'run here what is not done, without SLURM')
    one.add_argument('target', help='folder of a sweep, config, or .yaml')
    add_plan_arguments(one)
    one.add_argument(
        '--local', action='store_true', help='the only place; may be left out'
    )
    one.add_argument(
        '-j', '--jobs', type=int, default=1, help='runs at a time (default: 1)'
    )

    one = command('status', 'say how far each run is')
    one.add_argument('folder', help='folder of a sweep')
    one.add_argument('--metric', default='top-1', help='(default: top-1)')
    one.add_argument(
        '--watch',
        type=float,
        metavar='SECONDS',
        help='show it again every so many seconds, until all runs have ended',
    )

    one.add_argument(
        '--json', action='store_true', help='print JSON, for other programs'
    )

    one = command('resubmit', 'submit what is missing, stopped or failed')
    one.add_argument('target', metavar='folder', help='folder of a sweep')
    add_slurm_arguments(one)

    one = command('collect', 'compare the runs that are done (compare_runs)')
    one.add_argument('folder', help='folder of a sweep')
    one.add_argument('--metrics', nargs='+', default=['top-1'])
    one.add_argument('--group', metavar='REGEX', help='see compare_runs')
    one.add_argument('--out', help='where to write (default: the folder)')

    one = command('search', 'work on a search, until no trial is left')
    one.add_argument('target', help='folder of a search, or .yaml of one')
    one.add_argument('--trials', type=int, help='in place of what it says')
    one.add_argument(
        '--out', help='folder of a new search (default: work_dirs/NAME)'
    )
    one.add_argument(
        '-j', '--jobs', type=int, default=1, help='workers here (default: 1)'
    )
    one.add_argument(
        '--quiet', action='store_true', help='no table and picture in the end'
    )

    one = command('prune', 'remove checkpoints of runs that do not run')
    one.add_argument('folder', help='folder of a sweep')
    one.add_argument('--keep', required=True, metavar='POLICY')
    one.add_argument('--dry-run', action='store_true', help='only say it')
    return parser.parse_args(argv)


def add_plan_arguments(parser):
    """What makes a sweep."""
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='KEY=V1,V2',
        help='an axis of the grid; several make their product',
    )
    parser.add_argument('--seeds', metavar='0,1,2', help='(default: 0)')
    parser.add_argument(
        '--out', help='folder of the sweep (default: work_dirs/NAME)'
    )
    parser.add_argument(
        '--keep',
        metavar='POLICY',
        help='checkpoints that stay: newest:N, best, every:K, with commas',
    )
    parser.add_argument(
        '--amp', action='store_true', help='train in mixed precision'
    )


def add_slurm_arguments(parser):
    """What sbatch is told; what is not given is as it was planned."""
    group = parser.add_argument_group('SLURM')
    for name in ('partition', 'account', 'qos', 'time', 'gres', 'mem'):
        group.add_argument(f'--{name}', help='as for sbatch')
    group.add_argument('--constraint', help='as for sbatch')
    for name, what in (
        ('throttle', 'runs at the same time at most'),
        ('nodes', 'nodes per run (default: 1)'),
        ('tasks-per-node', 'processes per node, one per GPU (default: 1)'),
        ('cpus-per-task', 'cores per process (default: 1)'),
        ('lead', 'seconds before the time limit to stop at (default: 120)'),
        ('pack', 'runs per array task, one after the other (default: 1)'),
        ('max-requeues', 'how often a run is put back (default: 50)'),
    ):
        group.add_argument(f'--{name}', type=int, metavar='N', help=what)
    group.add_argument(
        '--requeue',
        action=argparse.BooleanOptionalAction,
        default=None,
        help='whether a stopped run goes back into the queue (default: yes)',
    )
    group.add_argument(
        '--prologue',
        metavar='FILE',
        help='bash lines before training: module load, activation',
    )
    group.add_argument(
        '--stage',
        metavar='SRC',
        help='copy this data to the local disk of a node, once per node',
    )


@entry_point()
def main(argv=None):
    """Run one command."""
    args = parse_args(argv)
    # Only now: it imports torch.
    from mask_plugins.sweeps import commands

    name = 'submit' if args.command == 'resubmit' else args.command
    sys.exit(getattr(commands, name)(args, osp.dirname(HERE)))


if __name__ == '__main__':
    main()
