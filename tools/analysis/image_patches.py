# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Show which patches of images a model keeps, and what it then predicts."""

import os.path as osp
import re

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Collect which patches of some images a model keeps at each drop '
        'ratio. Writes image_patches.json and a picture of it. With '
        '--compare, also one picture per image that shows several models; '
        'without a config and a checkpoint, that alone.',
        'image_patches',
        'CONFIG CHECKPOINT --indices 0 1 2 --compare '
        'work_dirs/other/image_patches.json',
    )
    cli.add_model_arguments(parser, optional=True)
    cli.add_ratio_argument(parser, [0.0, 0.2, 0.4, 0.6, 0.8])
    images = parser.add_mutually_exclusive_group()
    images.add_argument(
        '--indices',
        nargs='+',
        type=int,
        metavar='I',
        help='images of the test set (default: the first of each class, at '
        'most 8)',
    )
    images.add_argument(
        '--images', nargs='+', metavar='FILE', help='image files instead'
    )
    parser.add_argument(
        '--compare',
        nargs='+',
        default=[],
        metavar='JSON',
        help='image_patches.json of other models, of the same images',
    )
    cli.add_output_arguments(
        parser, 'that of the checkpoint, or of the first JSON'
    )
    args = parser.parse_args(argv)
    if args.config is None and not args.compare:
        parser.error('give a config and a checkpoint, or --compare')
    if (args.config is None) != (args.checkpoint is None):
        parser.error('a config needs its checkpoint')
    return args


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Collect, draw, then write."""
    from mask_plugins.utils.files import write_json
    from mask_plugins.visualization import (
        draw_patch_comparison,
        draw_patch_grid,
        save_figure,
    )
    from mask_plugins.visualization.patches import check_comparable

    default = osp.dirname(args.checkpoint or args.compare[0])
    out = cli.output_folder(args.out, default)
    records = [read_record(path) for path in args.compare]
    own = None
    if args.config is not None:
        own = collect(args)
        records.insert(0, own)
    figures = {}
    if own is not None:
        figures['image_patches'] = draw_patch_grid(own)
        print_predictions(own)
    if args.compare:
        check_comparable(records)
        for index in range(len(records[0]['images'])):
            figures[f'image_patches_comp-{index}'] = draw_patch_comparison(
                records, index
            )
    written = []
    if own is not None:
        written.append(write_json(osp.join(out, 'image_patches.json'), own))
    for name, figure in figures.items():
        path = osp.join(out, f'{name}.{args.format}')
        written.append(save_figure(figure, path))
    cli.print_written(written)


def collect(args):
    """Run the model."""
    from mask_plugins.analysis.tokens import patch_images
    from mask_plugins.apis import data as data_loading
    from mask_plugins.apis.model import load_trained_model
    from mask_plugins.apis.preprocess import preprocess
    from mask_plugins.engine.launching import run_config

    cfg = run_config.load_config(
        args.config, options=cli.parse_options(args.cfg_options)
    )
    run_config.check_file(args.checkpoint, 'checkpoint')
    # 1e-9: sampling is needed even if the ratio 0 alone is asked for.
    model = load_trained_model(
        cfg, args.checkpoint, [1e-9], args.scorer, args.device
    )
    dataset = data_loading.build_test_set(cfg)
    indices = args.indices
    if args.images:
        size = model.backbone.img_size
        size = (size, size) if isinstance(size, int) else tuple(size)
        batch = data_loading.load_files(cfg, args.images, size)
        targets = [None] * len(args.images)
    else:
        if indices is None:
            indices = data_loading.first_of_each_class(dataset)
        batch = data_loading.load_samples(dataset, indices)
        targets = data_loading.labels_of(batch)
    record = patch_images.collect_patches(
        model, preprocess(model, batch), targets, args.drop_ratios
    )
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    record.update(
        class_to_idx=patch_images.class_to_idx(classes),
        indices=indices,
        files=args.images,
        name=osp.splitext(osp.basename(args.config))[0],
        channel_order=data_loading.channel_order(cfg, bool(args.images)),
        **patch_images.normalization(model),
    )
    return record


def read_record(path):
    """Read an image_patches.json; raise ValueError if it is another file."""
    from mask_plugins.utils.files import read_json

    record = read_json(path)
    needed = {'drop_ratios', 'images', 'targets', 'kept_patches', 'logits'}
    if not isinstance(record, dict) or needed - set(record):
        raise ValueError(
            f'{path} is not an image_patches.json: it must have {needed}'
        )
    if 'name' not in record:
        folder = osp.basename(osp.dirname(osp.abspath(path)))
        record['name'] = re.sub(r'\W+$', '', folder)
    return record


def print_predictions(record):
    """Print the predicted class per image and ratio."""
    from mask_plugins.visualization.patches import softmax

    names = {value: key for key, value in record['class_to_idx'].items()}
    rows = []
    for index, target in enumerate(record['targets']):
        row = [index, names.get(target, target)]
        for logits in record['logits']:
            scores = softmax(logits[index])
            best = int(scores.argmax())
            name = names.get(best, best)
            row.append(f'{name} ({100 * scores[best]:.1f} %)')
        rows.append(row)
    columns = [f'drop {ratio:g}' for ratio in record['drop_ratios']]
    cli.print_table(['image', 'true', *columns], rows, record['name'])


if __name__ == '__main__':
    main()
