# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Bake an adapter into its base weights: a checkpoint of the stock model."""

from mask_plugins.analysis import cli
from mask_plugins.analysis.weights import cli as weights_cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = weights_cli.make_parser(
        'Bake an adapter into the base weights that it belongs to. Writes a '
        'checkpoint of the stock model, which mmpretrain loads and tests '
        'without this package, and next to it the config to do it with (.py) '
        'and a report (.json).',
        'apply_masks',
        'CONFIG base.pth flowers.safetensors --out flowers_merged.pth',
    )
    parser.add_argument(
        'config',
        help='config file of the masked training, or of the stock model',
    )
    parser.add_argument(
        'base',
        help='the base weights, .pth or .safetensors, of the whole model or '
        'of its backbone; where weights were trained with their masks, the '
        'checkpoint of that training',
    )
    parser.add_argument('adapter', help='what export_masks wrote')
    parser.add_argument(
        '--only',
        default='*',
        metavar='PATTERN',
        help='take only names of the adapter that match, such as "backbone.*"'
        '; the rest comes from the base',
    )
    parser.add_argument(
        '--any-base',
        action='store_true',
        help='take other base weights than those of the adapter, with a note',
    )
    cli.add_config_options(parser)
    weights_cli.add_file_argument(
        parser,
        'the checkpoint, .pth or (which mmengine does not read) .safetensors',
        'ADAPTER_merged.pth next to the adapter',
    )
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Load, bake, then write."""
    from mask_plugins.analysis.weights.merge_checkpoint import (
        bake_adapter,
    )
    from mask_plugins.apis.config import check_file, load_config

    inputs = dict(config=args.config, base=args.base, adapter=args.adapter)
    out = weights_cli.output_file(
        args.out or f'{weights_cli.stem_of(args.adapter)}_merged.pth',
        weights_cli.CHECKPOINTS,
        ['.py', '.json'],
        list(inputs.values()),
    )
    cfg = load_config(args.config, options=cli.parse_options(args.cfg_options))
    check_file(args.base, 'base')
    check_file(args.adapter, 'adapter')
    baked = bake_adapter(
        cfg, args.base, args.adapter, args.only, not args.any_base
    )
    weights_cli.print_baked(baked)
    cli.print_written(baked.write(out, inputs))
    weights_cli.print_use(baked, out)


if __name__ == '__main__':
    main()
