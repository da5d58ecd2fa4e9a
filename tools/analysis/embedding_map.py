# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Draw the embeddings of the test images in two dimensions."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Embed the test images of a config and project them to two '
        'dimensions, by PCA or t-SNE of scikit-learn, on unit vectors. Writes '
        'embedding_map.json and a picture.',
        'embedding_map',
        'CONFIG CHECKPOINT --method tsne',
    )
    cli.add_model_arguments(parser, scorer=False)
    parser.add_argument(
        '--method',
        choices=('pca', 'tsne'),
        default='pca',
        help='how to project (default: %(default)s)',
    )
    parser.add_argument(
        '--perplexity',
        type=float,
        default=30.0,
        help='of t-SNE (default: %(default)s)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of t-SNE (default: %(default)s)'
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
    """Embed, project, draw, then write."""
    from mask_plugins.analysis.features.projection import project
    from mask_plugins.apis import features as extraction
    from mask_plugins.apis.config import check_file, load_config
    from mask_plugins.apis.data import build_test_loader, build_test_set
    from mask_plugins.utils.files import write_json
    from mask_plugins.visualization import draw_embedding_map, save_figure

    out = cli.output_folder(args.out, osp.dirname(args.checkpoint))
    cfg = load_config(args.config, options=cli.parse_options(args.cfg_options))
    check_file(args.checkpoint, 'checkpoint')
    model = extraction.load_feature_model(cfg, args.checkpoint, args.device)
    dataset = build_test_set(cfg)
    loader = build_test_loader(cfg, dataset, args.batch_size, args.limit)
    found = extraction.extract_features(model, loader, what='test images')
    points, axes = project(
        found.values, args.method, args.perplexity, args.seed
    )
    labels = found.labels.tolist()
    names = getattr(dataset, 'metainfo', {}).get('classes')
    name = osp.splitext(osp.basename(args.config))[0]
    record = dict(
        config=name,
        checkpoint=args.checkpoint,
        method=args.method,
        points=points.round(5).tolist(),
        labels=labels,
        indices=found.indices.tolist(),
        classes=[str(n) for n in names or range(max(labels) + 1)],
        axes=axes,
        title=f'{name}: {len(labels)} test images',
    )
    path = osp.join(out, 'embedding_map')
    cli.print_written(
        [
            write_json(f'{path}.json', record),
            save_figure(draw_embedding_map(record), f'{path}.{args.format}'),
        ]
    )


if __name__ == '__main__':
    main()
