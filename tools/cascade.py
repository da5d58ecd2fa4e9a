# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A cascade of masked models: dispatcher, clusters, experts, combination.

`run` does all steps; each other command stops after its step. What is done
already stays, and a killed command continues where it was.
"""

import argparse
import os
import os.path as osp

from mask_plugins.utils.entry_point import entry_point

HERE = osp.dirname(osp.abspath(__file__))
STEPS = {
    'run': ('', 'all steps, then the table'),
    'train-dispatcher': ('dispatcher', 'train masks on the whole set'),
    'cluster': ('clusters', 'PCA and a Gaussian mixture of its features'),
    'train-experts': ('experts', 'masks on each cluster'),
    'embed': ('features', 'features and adapters of all models'),
    'combine': ('combined', 'one representation from all features'),
    'evaluate': ('results', 'k-NN and linear probe of each'),
    'export': ('features', 'one file for mask_plugins.CascadeClassifier'),
}
EXAMPLE = """example: python tools/cascade.py run \\
    configs/self_masking/cascade_resnet18-narrow_digits.yaml
On SLURM: train-experts FILE.yaml --slurm --gres gpu:1 --time 4:00:00; when
the array has ended, run FILE.yaml. Options after --slurm go to
tools/slurm/sweep.py submit.
"""


def parse_args(argv=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest='command', required=True)
    for name, (_, what) in STEPS.items():
        one = commands.add_parser(name, help=what, description=what)
        one.add_argument('file', metavar='FILE.yaml', help='the cascade')
        one.add_argument(
            '--out',
            metavar='FOLDER',
            help='where the steps have their folders (default: '
            'work_dirs/NAME of the file)',
        )
        one.add_argument(
            '--dry-run', action='store_true', help='print the plan only'
        )
        one.add_argument(
            '-j', '--jobs', type=int, default=1, metavar='N',
            help='experts that train at a time (default: 1)',
        )  # fmt: skip
        if name == 'export':
            one.add_argument(
                '--method', default='pca_conditional',
                help='how embeddings are combined (default: %(default)s)',
            )  # fmt: skip
            one.add_argument(
                '--classifier', required=True, metavar='FILE.safetensors',
                help='file to write',
            )  # fmt: skip
        one.add_argument('--device', help='default: a GPU if there is one')
        one.add_argument(
            '--slurm', nargs=argparse.REMAINDER,
            help='submit the experts as an array; last, with its options',
        )  # fmt: skip
    return parser.parse_args(argv)


@entry_point(RuntimeError)
def main(argv=None) -> None:
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args: argparse.Namespace) -> None:
    """Do what is not done yet, then print."""
    from mask_plugins.analysis.cascade.plan import Plan
    from mask_plugins.analysis.cascade.settings import read_settings
    from mask_plugins.analysis.cascade.steps import Cascade

    name = osp.splitext(osp.basename(args.file))[0]
    folder = args.out or osp.join('work_dirs', name)
    experts = ['run', '-j', str(args.jobs)]
    if args.slurm is not None:
        experts = ['submit', *args.slurm]
    settings = read_settings(args.file)
    cascade = Cascade(settings, HERE, experts, args.device)
    plan = Plan(folder, cascade.steps())
    if args.dry_run:
        for step, where, done in plan.state():
            state = 'done' if done else 'to do'
            print(f'{step:12}{state:8}{where}')
        how = ' '.join(experts)
        print(f'{settings.clusters} experts by slurm/sweep.py {how}')
        return
    os.makedirs(folder, exist_ok=True)
    plan.run(STEPS[args.command][0], print)
    where = {step: path for step, path, _ in plan.state()}
    if args.command == 'export':
        cascade.export(where, args.method, args.classifier)
        print(f'wrote {args.classifier}')
    if args.command in ('run', 'evaluate'):
        show(where['results'])


def show(folder: str) -> None:
    """Print the table of the results, and draw it."""
    from rich.console import Console
    from rich.table import Table

    from mask_plugins.utils.files import read_json
    from mask_plugins.visualization.cascade import draw_cascade
    from mask_plugins.visualization.figure import save_figure

    found = read_json(osp.join(folder, 'results.json'))
    table = Table('method', 'dims', 'k-NN top-1 [%]', 'probe top-1 [%]')
    for row in found['rows']:
        table.add_row(
            row['method'],
            str(row['dims']),
            f'{row["knn_top1"]:.2f}',
            f'{row["probe_top1"]:.2f}',
        )
    Console().print(table)
    sizes = found['adapter_bytes']
    print(
        f'{len(sizes)} adapters: {sum(sizes.values()):,} bytes; '
        f'{len(sizes)} networks: {len(sizes) * found["network_bytes"]:,} bytes'
    )
    clusters = found['clusters']
    print(
        f'images of each cluster: {clusters["sizes"]}; purity '
        f'{clusters["purity"]:.1f} %, adjusted mutual information '
        f'{clusters["ami"]:.1f} %'
    )
    picture = osp.join(folder, 'results.png')
    save_figure(draw_cascade(found['rows']), picture, dpi=150)
    print(f'wrote {osp.join(folder, "results.json")}, {picture}')


if __name__ == '__main__':
    main()
