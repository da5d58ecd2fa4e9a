# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Show what masks keep, and how many bytes they take."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.analysis.weights import cli as weights_cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = weights_cli.make_parser(
        'Show what each mask keeps, and the bytes of the masks, packed and '
        'compressed, next to those of fine-tuned weights. Writes '
        'inspect_masks.json and a picture.',
        'inspect_masks',
        'flowers.safetensors --out masks',
    )
    parser.add_argument(
        'source',
        nargs='+',
        metavar='ADAPTER | CONFIG CHECKPOINT',
        help='what export_masks wrote, or config and checkpoint of a masked '
        'training (soft masks as their ticket)',
    )
    cli.add_config_options(parser)
    cli.add_output_arguments(parser, 'that of the adapter or checkpoint')
    cli.add_html_argument(parser)
    args = parser.parse_args(argv)
    args.command = cli.command_line('weights/inspect_masks', argv)
    if len(args.source) > 2:
        parser.error('give an adapter, or a config and a checkpoint')
    return args


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Count, compress, then write."""
    from mask_plugins.analysis.weights.mask_sizes import measure_sizes
    from mask_plugins.core.weights.adapter_content import dtype_name
    from mask_plugins.utils.files import write_json
    from mask_plugins.visualization import (
        HtmlReport,
        draw_mask_density,
        save_figure,
    )

    path = args.source[-1]
    out = cli.output_folder(args.out, osp.dirname(path))
    adapter, report, notes = read(args)
    sizes = measure_sizes(adapter)
    name = osp.basename(weights_cli.stem_of(path))
    kinds = sorted({s['kind'] for s in adapter.settings.values()})
    if 'soft' in kinds:
        notes = [
            *notes,
            'soft masks are usually trained with their weights, which are '
            'not in the adapter: the sizes are those of masks for weights '
            'that are there already',
        ]
    content = dict(
        source=args.source,
        kinds=kinds,
        base_sha256=adapter.base_sha256,
        info=adapter.info,
        state=list(adapter.state),
        state_dtypes=sorted({dtype_name(v) for v in adapter.state.values()}),
        sizes=sizes,
        notes=notes,
        **report.to_dict(),
    )
    figure = draw_mask_density(report.to_dict(), name)
    weights_cli.print_report(report, f'{name}: {", ".join(kinds)}')
    weights_cli.print_sizes(sizes)
    weights_cli.print_notes(notes)
    picture = osp.join(out, f'inspect_masks.{args.format}')
    written = [
        write_json(osp.join(out, 'inspect_masks.json'), content),
        save_figure(figure, picture),
    ]
    if args.html:
        page = HtmlReport(f'Masks of {name}', args.command)
        page.add_table(weights_cli.SIZE_COLUMNS, weights_cli.size_cells(sizes))
        page.add_figure(figure, 'density of each masked weight')
        page.add_table(
            ['parameter', 'kept', 'of', 'density'],
            [
                [
                    row.name,
                    f'{row.kept:,}',
                    f'{row.size:,}',
                    f'{row.density:.4f}',
                ]
                for row in report.rows
            ],
        )
        page.add_notes(notes)
        written.append(page.save(osp.join(out, 'inspect_masks.html')))
    cli.print_written(written)


def read(args):
    """Adapter, report and notes, of one of the two sources."""
    from mask_plugins.analysis.weights.mask_export import (
        empty_notes,
        export_checkpoint,
    )
    from mask_plugins.analysis.weights.mask_sizes import adapter_report
    from mask_plugins.apis.config import check_file, load_config
    from mask_plugins.core.weights import read_adapter

    if len(args.source) == 1:
        (path,) = args.source
        if path.endswith('.py'):
            raise ValueError(f'{path} is a config: give its checkpoint too')
        check_file(path, 'adapter')
        adapter = read_adapter(path)
        report = adapter_report(adapter)
        return adapter, report, empty_notes(report)
    config, checkpoint = args.source
    cfg = load_config(config, options=cli.parse_options(args.cfg_options))
    check_file(checkpoint, 'checkpoint')
    return export_checkpoint(cfg, checkpoint)


if __name__ == '__main__':
    main()
