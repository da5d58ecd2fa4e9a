# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Vote on the bits of several adapters of one base."""

from mask_plugins.analysis.weights import cli as weights_cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = weights_cli.make_parser(
        'Combine two or more adapters of one base into one: a weight counts '
        'if it does in all of them (and), in any (or), in more than half '
        '(majority), or in those that have more than half of --weights.',
        'combine_masks',
        'seed-0.safetensors seed-1.safetensors seed-2.safetensors --out '
        'voted.safetensors',
    )
    add = parser.add_argument
    add('adapters', nargs='+', help='what export_masks wrote, two or more')
    add('--how', choices=('and', 'or', 'majority', 'weighted'),
        default='majority', help='default: %(default)s')  # fmt: skip
    add('--weights', type=float, nargs='+', metavar='W',
        help='one per adapter, for --how weighted')  # fmt: skip
    add('--out', required=True, metavar='FILE.safetensors')
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    from mask_plugins.core.weights import combine_adapters, write_adapter

    combined = combine_adapters(args.adapters, args.how, args.weights)
    write_adapter(combined, args.out)
    print(f'wrote {combined} to {args.out}')


if __name__ == '__main__':
    main()
