# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Take the student out of the checkpoint of a run with a teacher."""

from mask_plugins.analysis import cli
from mask_plugins.analysis.weights import cli as weights_cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = weights_cli.make_parser(
        'Take the student out of a checkpoint of '
        'mask_plugins.ReferenceClassifier. Writes a checkpoint of the stock '
        'classifier, without teacher and tokens, and next to it the config to '
        'test it with (.py) and a report (.json).',
        'extract_student',
        'CONFIG CHECKPOINT --out student.pth',
    )
    parser.add_argument('config', help='config file of the run')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument(
        '--which',
        choices=('student', 'teacher'),
        default='student',
        help='whose weights: the student, or its snapshot or average '
        '(default: %(default)s)',
    )
    cli.add_config_options(parser)
    weights_cli.add_file_argument(
        parser,
        'the checkpoint, .pth or (which mmengine does not read) .safetensors',
        'CHECKPOINT_student.pth next to the checkpoint',
    )
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Read, choose, then write."""
    from mask_plugins.analysis.weights.extract_student import (
        extract_student,
    )
    from mask_plugins.apis.config import check_file, load_config

    inputs = dict(config=args.config, checkpoint=args.checkpoint)
    out = weights_cli.output_file(
        args.out or f'{weights_cli.stem_of(args.checkpoint)}_{args.which}.pth',
        weights_cli.CHECKPOINTS,
        ['.py', '.json'],
        list(inputs.values()),
    )
    cfg = load_config(args.config, options=cli.parse_options(args.cfg_options))
    check_file(args.checkpoint, 'checkpoint')
    student = extract_student(cfg, args.checkpoint, args.which)
    report = student.report
    rows = [['kept', f'{report["elements"]:,}']]
    for part, number in report['dropped'].items():
        rows.append([f'left out: {part}', f'{number:,}'])
    cli.print_table(['what', 'elements'], rows)
    cli.print_written(student.write(out, dict(inputs, which=args.which)))
    weights_cli.print_use(student, out)


if __name__ == '__main__':
    main()
