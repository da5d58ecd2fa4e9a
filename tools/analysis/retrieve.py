# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Find the images that are nearest to a query."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Index the images of a folder by their embeddings and find those that '
        'are nearest to a query. Sub-folders are classes, which tell hits '
        'from misses. Without --gallery the test images of the config are '
        'searched, and without --query some of the indexed images themselves '
        'are sought among the others. Writes retrieve.json, a picture, and '
        'for a folder index.npz, which --index takes next time.',
        'retrieve',
        'CONFIG CHECKPOINT --gallery photos --query photo.jpg --top-k 8',
    )
    cli.add_model_arguments(parser, scorer=False)
    where = parser.add_mutually_exclusive_group()
    where.add_argument('--gallery', metavar='DIR', help='images to index')
    where.add_argument(
        '--index', metavar='NPZ', help='index.npz of an earlier call'
    )
    parser.add_argument(
        '--query', metavar='PATH', help='an image, or a folder of images'
    )
    parser.add_argument(
        '--top-k',
        type=cli.positive,
        default=8,
        metavar='K',
        help='results of a query (default: %(default)s)',
    )
    parser.add_argument(
        '--max-queries',
        type=cli.positive,
        default=8,
        metavar='N',
        help='rows of the picture; the JSON has all (default: %(default)s)',
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
    """Index, search, draw, then write."""
    from mask_plugins.analysis.features import image_search, search_pictures
    from mask_plugins.apis.config import check_file, load_config
    from mask_plugins.apis.features import load_feature_model
    from mask_plugins.utils.files import write_json
    from mask_plugins.visualization import draw_retrieval_sheet, save_figure

    out = cli.output_folder(args.out, osp.dirname(args.checkpoint))
    cfg = load_config(args.config, options=cli.parse_options(args.cfg_options))
    check_file(args.checkpoint, 'checkpoint')
    # What is wrong with the paths is said before the model is built.
    index = image_search.load_index(args.index) if args.index else None
    queries = image_search.find_images(args.query) if args.query else None
    images = image_search.find_images(args.gallery) if args.gallery else None
    model = load_feature_model(cfg, args.checkpoint, args.device)
    source = search_pictures.Source(model, cfg, args.batch_size, args.limit)
    made = False
    if images is not None:
        index, made = source.of_files(images, args.gallery), True
    elif index is None:
        index = source.of_test_set()
    if queries is not None:
        query = source.of_files(queries, args.query, what='queries')
        own = search_pictures.places_of(query.files, index.files)
    else:
        own = search_pictures.some_of_each_class(index, args.max_queries)
        query = search_pictures.take(index, own)
    records = image_search.search(index, query, args.top_k, own)
    print_records(records)
    written = []
    if made:
        path = osp.join(out, 'index.npz')
        written.append(image_search.save_index(path, index))
    result = dict(
        config=osp.splitext(osp.basename(args.config))[0],
        checkpoint=args.checkpoint,
        indexed=len(index.files),
        queries=records,
    )
    figure = draw_retrieval_sheet(records[: args.max_queries], source.picture)
    written += [
        write_json(osp.join(out, 'retrieve.json'), result),
        save_figure(figure, osp.join(out, f'retrieve.{args.format}'), dpi=150),
    ]
    cli.print_written(written)


def print_records(records):
    """Print a row per query: the best result, and how many are hits."""
    rows = []
    for record in records:
        best = record['results'][0]
        known = [r['hit'] for r in record['results'] if r['hit'] is not None]
        rows.append(
            [
                record['file'],
                record['class'],
                best['file'],
                f'{best["similarity"]:.3f}',
                f'{sum(known)} of {len(known)}' if known else None,
            ]
        )
    cli.print_table(
        ['query', 'class', 'nearest', 'cosine', 'hits'], rows, 'retrieval'
    )


if __name__ == '__main__':
    main()
