# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Test a checkpoint at several drop ratios: accuracy, speed, operations."""

import os
import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point

DROP_RATIOS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Test a checkpoint at several drop ratios. Writes sweep_drop.json '
        '(JSON lines) and a picture. Plain ViT and BEiT checkpoints are '
        'measured with token sampling put into them; where that cannot be '
        'done, --drop-ratios 0 alone measures any classifier.',
        'sweep_drop',
        'CONFIG CHECKPOINT --drop-ratios 0 0.4 0.8 --limit 5000',
    )
    cli.add_model_arguments(parser)
    cli.add_ratio_argument(parser, DROP_RATIOS)
    cli.add_data_arguments(parser)
    cli.add_output_arguments(parser, 'that of the checkpoint')
    cli.add_html_argument(parser)
    args = parser.parse_args(argv)
    args.command = cli.command_line('analysis/sweep_drop', argv)
    return args


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Measure, then write."""
    from mask_plugins.analysis.tokens.drop_sweep import sweep_drop_ratios
    from mask_plugins.apis.data import build_test_loader, build_test_set
    from mask_plugins.apis.model import load_trained_model
    from mask_plugins.engine.launching import run_config
    from mask_plugins.utils.files import write_json_lines
    from mask_plugins.utils.progress import track
    from mask_plugins.visualization import HtmlReport, draw_sweep, save_figure

    out = cli.output_folder(args.out, osp.dirname(args.checkpoint))
    cfg = run_config.load_config(
        args.config, options=cli.parse_options(args.cfg_options)
    )
    run_config.check_file(args.checkpoint, 'checkpoint')
    ratios = sorted(set(args.drop_ratios))
    model = load_trained_model(
        cfg, args.checkpoint, ratios, args.scorer, args.device
    )
    loader = build_test_loader(
        cfg, build_test_set(cfg, model), args.batch_size, args.limit
    )
    batches = track(loader, f'{len(ratios)} drop ratios, batches')
    records = sweep_drop_ratios(model, batches, ratios)
    name = osp.splitext(osp.basename(args.config))[0]
    figure = draw_sweep({name: records})
    columns = ['drop ratio', 'top-1 [%]', 'tokens', 'GFLOPs/image']
    columns += ['images/s', 'speed-up']
    cells = [
        [
            f'{record["drop_ratio"]:g}',
            f'{record["acc1"]:.2f}',
            record['tokens'],
            f'{record["flops"]:.4g}',
            f'{record["throughput"]:.1f}',
            f'{record["throughput"] / records[0]["throughput"]:.2f}',
        ]
        for record in records
    ]
    title = f'{name}: {records[0]["images"]} images'
    cli.print_table(columns, cells, title)
    written = [
        write_json_lines(os.path.join(out, 'sweep_drop.json'), records),
        save_figure(figure, osp.join(out, f'sweep_drop.{args.format}')),
    ]
    if args.html:
        report = HtmlReport('Drop ratios in the test', args.command)
        report.add_table(columns, cells, title)
        report.add_figure(figure, 'top-1 and throughput at each ratio')
        written.append(report.save(osp.join(out, 'sweep_drop.html')))
    cli.print_written(written)


if __name__ == '__main__':
    main()
