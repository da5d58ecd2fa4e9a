# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Draw the schedules of configs, and say what they amount to."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Draw the schedules of configs (PSSHook, ScheduleHook) or of '
        '--schedule. Writes plot_schedules.json, with the share of '
        'iterations, the tokens and the cost of each drop ratio, and a '
        'picture.',
        'plot_schedules',
        '--schedule type=CyclicSchedule start=0.8 end=0 quantum=0.2 '
        'plateau=end --epochs 20 --iters-per-epoch 45',
    )
    parser.add_argument('configs', nargs='*', help='config files')
    parser.add_argument(
        '--schedule',
        nargs='+',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        help='type and arguments of a drop-ratio schedule; may be repeated',
    )
    parser.add_argument(
        '--epochs',
        type=cli.positive,
        metavar='N',
        help='epochs of the run (default: those of each config; for '
        '--schedule: those of the first config, or 100)',
    )
    parser.add_argument(
        '--iters-per-epoch',
        type=cli.positive,
        metavar='N',
        help='iterations of an epoch (default: from the training set of each '
        'config; for --schedule: that of the first config, or 100)',
    )
    parser.add_argument(
        '--processes',
        type=cli.positive,
        default=1,
        metavar='N',
        help='processes (GPUs) that share an epoch (default: 1)',
    )
    cli.add_output_arguments(
        parser, 'the work_dir of the only config, else the current folder'
    )
    args = parser.parse_args(argv)
    if not args.configs and not args.schedule:
        parser.error('give configs or --schedule')
    return args


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Resolve, draw, then write."""
    from mask_plugins.analysis.tokens.schedule_plan import RATIO
    from mask_plugins.utils.files import write_json
    from mask_plugins.visualization import draw_schedules, save_figure

    plans, default = make_plans(args)
    out = cli.output_folder(args.out, default)
    quantities = {}
    for plan in plans:
        name = plan['summary']['attribute']
        quantities.setdefault(name, []).append(plan['curve'])
    figures = {
        name: draw_schedules(curves, name)
        for name, curves in quantities.items()
    }
    for plan in plans:
        print_plan(plan['summary'])
    summaries = [plan['summary'] for plan in plans]
    written = [write_json(osp.join(out, 'plot_schedules.json'), summaries)]
    for name, figure in figures.items():
        suffix = '' if name == RATIO else f'_{name}'
        path = osp.join(out, f'plot_schedules{suffix}.{args.format}')
        written.append(save_figure(figure, path))
    cli.print_written(written)


def make_plans(args):
    """Evaluate all schedules; also returns the default folder."""
    from mask_plugins.analysis.tokens import schedule_plan
    from mask_plugins.analysis.tokens.token_cost import read_tokens
    from mask_plugins.apis.config import load_config
    from mask_plugins.utils.progress import track

    jobs, folders, lengths, tokens = [], [], None, None
    for path in args.configs:
        cfg = load_config(path)
        if args.epochs is not None:
            cfg.train_cfg.max_epochs = args.epochs
        length = schedule_plan.run_lengths(
            cfg, args.iters_per_epoch, args.processes
        )
        cost = read_tokens(cfg)
        name = osp.splitext(osp.basename(path))[0]
        for scheduled in schedule_plan.read_schedules(cfg, name):
            jobs.append((scheduled, *length, cost))
        folders.append(cfg.work_dir)
        if lengths is None:
            lengths, tokens = length, cost
    if lengths is None:
        per_epoch = args.iters_per_epoch or 100
        lengths = ((args.epochs or 100) * per_epoch, per_epoch)
    for pairs in args.schedule:
        settings = cli.parse_options(pairs)
        scheduled = schedule_plan.build_schedule(settings)
        jobs.append((scheduled, *lengths, tokens))
    plans = [schedule_plan.plan(*job) for job in track(jobs, 'schedules')]
    return plans, folders[0] if len(folders) == 1 else '.'


def print_plan(summary):
    """Print the table of one schedule."""
    what = summary['attribute'].replace('_', ' ')
    title = (
        f'{summary["name"]}: {what}, mean '
        f'{summary["mean"]:.4f}, {summary["max_iters"]} iterations, '
        f'{summary["iters_per_epoch"]} per epoch'
    )
    if 'mac_share' in summary:
        title += f', {100 * summary["mac_share"]:.1f} % of the MACs of drop 0'
    if summary['levels'] is None:
        print(f'{title}; changes at every iteration')
        return
    rows = []
    for level in summary['levels']:
        row = [f'{level["value"]:g}', f'{100 * level["share"]:.2f}']
        if 'tokens' in level:
            row += [level['tokens'], f'{100 * level["mac_share"]:.1f}']
        rows.append(row)
    columns = [what, 'iterations [%]', 'tokens', 'MACs [%]']
    cli.print_table(columns[: len(rows[0])], rows, title)


if __name__ == '__main__':
    main()
