# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Fit a linear classifier on the frozen features of a checkpoint."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point

# 0 is 0.01 / N, the weight of the self-masking paper.
L2 = [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Fit a linear classifier on the frozen features of a checkpoint, '
        'taken once, without augmentation: multinomial logistic regression '
        'with L2, to its optimum in float64. With several weights of L2 one '
        'is chosen on a tenth of the training set. Writes linear_probe.json '
        'and a picture.',
        'linear_probe',
        'CONFIG CHECKPOINT --l2 0 1e-4 1e-2',
    )
    cli.add_model_arguments(parser, scorer=False)
    parser.add_argument(
        '--l2',
        nargs='+',
        type=float,
        default=L2,
        metavar='WEIGHT',
        help='weights of L2; 0 is 0.01 / N (default: '
        f'{" ".join(f"{weight:g}" for weight in L2)})',
    )
    parser.add_argument(
        '--layer',
        choices=('backbone', 'neck', 'pre_logits'),
        default='neck',
        help='whose output is taken (default: %(default)s)',
    )
    parser.add_argument(
        '--max-iter',
        type=cli.positive,
        default=500,
        metavar='N',
        help='iterations of L-BFGS (default: %(default)s)',
    )
    cli.add_data_arguments(parser)
    cli.add_output_arguments(parser, 'that of the checkpoint')
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Extract, fit, then write."""
    from mask_plugins.analysis.features.probe_sweep import check_l2, sweep_l2
    from mask_plugins.apis import features as extraction
    from mask_plugins.apis.data import build_test_loader, build_test_set
    from mask_plugins.engine.launching import run_config
    from mask_plugins.utils.files import write_json
    from mask_plugins.utils.progress import track
    from mask_plugins.visualization import draw_linear_probe, save_figure

    check_l2(args.l2)
    out = cli.output_folder(args.out, osp.dirname(args.checkpoint))
    cfg = run_config.load_config(
        args.config, options=cli.parse_options(args.cfg_options)
    )
    run_config.check_file(args.checkpoint, 'checkpoint')
    model = extraction.load_feature_model(cfg, args.checkpoint, args.device)
    train, test = (
        extraction.extract_features(
            model,
            build_test_loader(cfg, dataset, args.batch_size, limit),
            args.layer,
            f'{name} features',
        )
        for name, dataset, limit in (
            ('training', extraction.build_train_set(cfg), None),
            ('test', build_test_set(cfg), args.limit),
        )
    )
    records = sweep_l2(
        train, test, args.l2, args.max_iter,
        lambda weights: track(weights, 'weights of L2'),
    )  # fmt: skip
    name = osp.splitext(osp.basename(args.config))[0]
    samples, dims = train.values.shape
    cli.print_table(
        ['L2', 'training [%]', 'held out [%]', 'test [%]', 'loss',
         'iterations', ''],
        [
            [
                f'{record["l2"]:.3g}',
                f'{record["train_top1"]:.2f}',
                None
                if record['holdout_top1'] is None
                else f'{record["holdout_top1"]:.2f}',
                f'{record["test_top1"]:.2f}',
                f'{record["loss"]:.4f}',
                f'{record["iterations"]}'
                + ('' if record['converged'] else ' (not converged)'),
                'chosen' if record['chosen'] else '',
            ]
            for record in records
        ],
        f'{name}: {samples} training and {len(test.labels)} test images, '
        f'{dims} features of the {args.layer}',
    )  # fmt: skip
    result = dict(
        config=name,
        checkpoint=args.checkpoint,
        layer=args.layer,
        train_images=samples,
        test_images=len(test.labels),
        features=dims,
        probes=records,
    )
    path = osp.join(out, 'linear_probe')
    cli.print_written(
        [
            write_json(f'{path}.json', result),
            save_figure(
                draw_linear_probe(records, name), f'{path}.{args.format}'
            ),
        ]
    )


if __name__ == '__main__':
    main()
