# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Show how much the masks of several tasks have in common."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.analysis.weights import cli as weights_cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = weights_cli.make_parser(
        'Compare the masks of two or more adapters: share of weights that '
        'both treat alike (agreement), and Jaccard index of what they keep '
        'and of what they remove, next to those of independent masks of the '
        'same densities. Writes compare_masks.json and a picture.',
        'compare_masks',
        'flowers.safetensors pets.safetensors dtd.safetensors --out overlap',
    )
    parser.add_argument(
        'adapters', nargs='+', help='what export_masks wrote, two or more'
    )
    parser.add_argument(
        '--layers',
        action='store_true',
        help='print the layers of each pair too (the JSON has them)',
    )
    cli.add_output_arguments(parser, 'that of the first adapter')
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Read, compare, then write."""
    from mask_plugins.analysis.weights.mask_overlap import compare_adapters
    from mask_plugins.apis.config import check_file
    from mask_plugins.core.weights import read_adapter
    from mask_plugins.utils.files import write_json
    from mask_plugins.utils.progress import track
    from mask_plugins.visualization import draw_mask_overlap, save_figure

    out = cli.output_folder(args.out, osp.dirname(args.adapters[0]))
    for path in args.adapters:
        check_file(path, 'adapters')
    names = weights_cli.short_paths(args.adapters)
    read = map(read_adapter, args.adapters)
    total = len(names)
    adapters = dict(zip(names, track(read, 'adapters', total)))
    overlap = compare_adapters(adapters)
    figure = draw_mask_overlap(overlap)
    weights_cli.print_overlap(overlap, args.layers)
    weights_cli.print_notes(overlap['notes'])
    picture = osp.join(out, f'compare_masks.{args.format}')
    cli.print_written(
        [
            write_json(osp.join(out, 'compare_masks.json'), overlap),
            save_figure(figure, picture),
        ]
    )


if __name__ == '__main__':
    main()
