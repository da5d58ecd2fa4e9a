# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Write the masks of a trained checkpoint to an adapter file."""

from mask_plugins.analysis import cli
from mask_plugins.analysis.weights import cli as weights_cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = weights_cli.make_parser(
        'Write the adapter of a masked training: one bit per masked weight, '
        'and what else the task needs (norm buffers, trained head). Soft '
        'masks are written as their ticket. A report is written next to it, '
        'as JSON.',
        'export_masks',
        'CONFIG CHECKPOINT --out flowers.safetensors',
    )
    parser.add_argument('config', help='config file of the masked training')
    parser.add_argument('checkpoint', help='its checkpoint')
    weights_cli.add_pattern_argument(parser)
    parser.add_argument(
        '--state-dtype',
        choices=('float32', 'float16', 'bfloat16'),
        help='of norm statistics and head: half of their bytes, rounded '
        '(default: as they are)',
    )
    cli.add_config_options(parser)
    weights_cli.add_file_argument(
        parser,
        'the adapter, .safetensors',
        'CHECKPOINT_masks.safetensors next to the checkpoint',
    )
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Load, pack, then write."""
    from mask_plugins.analysis.weights.mask_export import export_checkpoint
    from mask_plugins.apis.config import check_file, load_config
    from mask_plugins.core.weights import write_adapter
    from mask_plugins.core.weights.adapter_content import dtype_name
    from mask_plugins.utils.files import write_json

    stem = weights_cli.stem_of(args.checkpoint)
    out = weights_cli.output_file(
        args.out or f'{stem}_masks.safetensors',
        ['.safetensors'],
        ['.json'],
        [args.config, args.checkpoint],
    )
    cfg = load_config(args.config, options=cli.parse_options(args.cfg_options))
    check_file(args.checkpoint, 'checkpoint')
    adapter, report, notes = export_checkpoint(
        cfg, args.checkpoint, args.pattern, args.state_dtype
    )
    weights_cli.print_report(report, 'masks')
    weights_cli.print_notes(notes)
    content = dict(
        checkpoint=args.checkpoint,
        config=args.config,
        mask_bytes=adapter.mask_bytes,
        state_bytes=adapter.state_bytes,
        state=list(adapter.state),
        state_dtypes=sorted({dtype_name(v) for v in adapter.state.values()}),
        base_sha256=adapter.base_sha256,
        notes=notes,
        **report.to_dict(),
    )
    write_adapter(adapter, out)
    report_file = f'{weights_cli.stem_of(out)}.json'
    cli.print_written([out, write_json(report_file, content)])
    print(
        f'{adapter.mask_bytes:,} bytes of masks, {adapter.state_bytes:,} of '
        'other state'
    )


if __name__ == '__main__':
    main()
