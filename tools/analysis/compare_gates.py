# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Learned gates against thresholds and chance, at equal skip ratios."""

import copy
import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Compare the learned gates of a classifier with plain thresholds and '
        'with random gates in their places, at equal skip ratios: agreement '
        'with the dense network, top-1, error of the last feature. Levels are '
        'set on the validation clips and judged on the test clips. Several '
        'checkpoints are seeds of one training. Writes compare_gates.json '
        'and a picture.',
        'compare_gates',
        'CONFIG PRETRAINED.pth ... --classifier DENSE.pth --ratios 0.3 0.5',
    )
    parser.add_argument('config', help='config with test_dataloader')
    parser.add_argument('checkpoints', nargs='+', help='one per seed')
    parser.add_argument(
        '--classifier',
        metavar='CHECKPOINT',
        help='where the weights are that a checkpoint of PASSPretrainer '
        'lacks (the head)',
    )
    parser.add_argument(
        '--ratios',
        nargs='+',
        type=float,
        default=[0.3, 0.5, 0.7],
        help='skip ratios, in (0, 1) (default: 0.3 0.5 0.7)',
    )
    parser.add_argument(
        '--clips', type=int, default=40, help='test clips (default: 40)'
    )
    cli.add_output_arguments(parser, 'that of the first checkpoint')
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Compare, then write."""
    from mask_plugins.analysis.streams.gate_comparison import (
        compare_gates,
        load_clips,
    )
    from mask_plugins.apis.config import check_file, load_config
    from mask_plugins.apis.model import (
        build_model,
        config_scope,
        load_weights,
        read_trained,
    )
    from mask_plugins.registry import DATASETS
    from mask_plugins.utils.files import write_json
    from mask_plugins.utils.progress import track
    from mask_plugins.visualization import save_figure
    from mask_plugins.visualization.gate_comparison import (
        draw_gate_comparison,
        gate_table,
    )

    for ratio in args.ratios:
        if not 0 < ratio < 1:
            raise ValueError(f'--ratios must be in (0, 1), got {ratio}')
    out = cli.output_folder(args.out, osp.dirname(args.checkpoints[0]))
    cfg = load_config(args.config)
    for path in filter(None, [args.classifier, *args.checkpoints]):
        check_file(path, 'checkpoint')
    sets = []
    with config_scope(cfg):
        for split in ('val', 'test'):
            dataset = copy.deepcopy(cfg[f'{split}_dataloader'].dataset)
            sets.append(DATASETS.build(dict(dataset, indices=args.clips)))
    records = []
    for seed, path in enumerate(track(args.checkpoints, 'checkpoints')):
        weights = read_trained(args.classifier) if args.classifier else {}
        weights.update(read_trained(path))
        model = build_model(cfg)
        load_weights(model, weights, path)
        model.eval()
        calibration, _ = load_clips(model, sets[0])
        clips, labels = load_clips(model, sets[1])
        rows = compare_gates(
            model, calibration, clips, labels, args.ratios, seed
        )
        records += [dict(row, seed=seed) for row in rows]
    cli.print_table(*gate_table(records))
    written = [osp.join(out, 'compare_gates.json')]
    write_json(written[0], records)
    written.append(osp.join(out, f'compare_gates.{args.format}'))
    save_figure(draw_gate_comparison(records), written[1])
    cli.print_written(written)


if __name__ == '__main__':
    main()
