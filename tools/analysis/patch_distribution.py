# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Count where in the image the kept patches lie, over the test set."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Count how often each place of the image is kept, at each drop '
        'ratio, over the test set. Writes patch_distribution.json and a '
        'picture of it.',
        'patch_distribution',
        'CONFIG CHECKPOINT --drop-ratios 0.4 0.8',
    )
    cli.add_model_arguments(parser)
    cli.add_ratio_argument(parser, [0.0, 0.2, 0.4, 0.6, 0.8])
    cli.add_data_arguments(parser)
    cli.add_output_arguments(parser, 'that of the checkpoint')
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Count, then write."""
    from mask_plugins.analysis.tokens.patch_distribution import (
        count_kept_patches,
    )
    from mask_plugins.apis.data import build_test_loader, build_test_set
    from mask_plugins.apis.model import load_trained_model
    from mask_plugins.engine.launching import run_config
    from mask_plugins.utils.files import write_json
    from mask_plugins.utils.progress import track
    from mask_plugins.visualization import (
        draw_patch_distribution,
        save_figure,
    )

    out = cli.output_folder(args.out, osp.dirname(args.checkpoint))
    cfg = run_config.load_config(
        args.config, options=cli.parse_options(args.cfg_options)
    )
    run_config.check_file(args.checkpoint, 'checkpoint')
    # 1e-9: sampling is needed even if the ratio 0 alone is asked for.
    model = load_trained_model(
        cfg, args.checkpoint, [1e-9], args.scorer, args.device
    )
    loader = build_test_loader(
        cfg, build_test_set(cfg), args.batch_size, args.limit
    )
    ratios = sorted(set(args.drop_ratios))
    data = count_kept_patches(model, track(loader, 'batches'), ratios)
    data['name'] = osp.splitext(osp.basename(args.config))[0]
    figure = draw_patch_distribution(data)
    rows = []
    for ratio, counts in zip(ratios, data['counts']):
        share = [100 * count / data['num_images'] for count in counts]
        mean = sum(share) / len(share)
        cells = [mean, min(share), max(share)]
        rows.append([f'{ratio:g}', *(f'{cell:.1f}' for cell in cells)])
    cli.print_table(
        ['drop ratio', 'mean kept [%]', 'rarest place [%]',
         'most frequent place [%]'],
        rows,
        f'{data["name"]}: {data["num_images"]} images, scorer '
        f'{data["scorer"]}',
    )  # fmt: skip
    name = f'patch_distribution.{args.format}'
    cli.print_written(
        [
            write_json(osp.join(out, 'patch_distribution.json'), data),
            save_figure(figure, osp.join(out, name)),
        ]
    )


if __name__ == '__main__':
    main()
