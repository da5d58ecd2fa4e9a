# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Bake the masks of a checkpoint into its weights."""

from mask_plugins.analysis import cli
from mask_plugins.analysis.weights import cli as weights_cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = weights_cli.make_parser(
        'Bake the masks of a masked training into its weights. Writes a '
        'checkpoint of the stock model, which mmpretrain loads and tests '
        'without this package, and next to it the config to do it with (.py) '
        'and a report (.json). Soft masks are baked in as their ticket.',
        'merge_masks',
        'CONFIG CHECKPOINT --out ticket.pth',
    )
    parser.add_argument('config', help='config file of the masked training')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument(
        '--soft',
        action='store_true',
        help='bake soft masks in as they are, not as their ticket',
    )
    weights_cli.add_pattern_argument(parser)
    cli.add_config_options(parser)
    weights_cli.add_file_argument(
        parser,
        'the checkpoint, .pth or (which mmengine does not read) .safetensors',
        'CHECKPOINT_merged.pth next to the checkpoint',
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
        bake_checkpoint,
    )
    from mask_plugins.apis.config import check_file, load_config

    inputs = dict(config=args.config, checkpoint=args.checkpoint)
    out = weights_cli.output_file(
        args.out or f'{weights_cli.stem_of(args.checkpoint)}_merged.pth',
        weights_cli.CHECKPOINTS,
        ['.py', '.json'],
        list(inputs.values()),
    )
    cfg = load_config(args.config, options=cli.parse_options(args.cfg_options))
    check_file(args.checkpoint, 'checkpoint')
    options = dict(soft=args.soft, pattern=args.pattern)
    baked = bake_checkpoint(cfg, args.checkpoint, **options)
    weights_cli.print_baked(baked)
    cli.print_written(baked.write(out, dict(inputs, **options)))
    weights_cli.print_use(baked, out)


if __name__ == '__main__':
    main()
