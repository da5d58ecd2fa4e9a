# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Top-1 and speed-up of a gated classifier on labeled clips."""

import os.path as osp

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point

COLUMNS = ('threshold', 'skipped_patches', 'skip_ratio', 'top1', 'dense_top1',
           'agreement', 'speed_up', 'speed_up_p50', 'dense_p50',
           'gated_p50', 'gated_p95')  # fmt: skip


def parse_args(argv=None):
    """Read the command line."""
    parser = cli.make_parser(
        'Run a trained gated classifier and its fastest dense form (eager, '
        'packed or compiled) over the test clips of its config, frame by '
        'frame and in turn, at several thresholds. Writes pass_labeled.json.',
        'pass_labeled',
        'CONFIG CHECKPOINT --thresholds 0.05 0.1 0.2',
        'benchmarks',
    )
    cli.add_model_arguments(parser)
    parser.add_argument(
        '--thresholds',
        nargs='+',
        type=float,
        default=[0.05, 0.1, 0.2],
        help='relative to the map (default: 0.05 0.1 0.2)',
    )
    parser.add_argument(
        '--clips',
        type=cli.positive,
        default=20,
        help='test clips (default: 20)',
    )
    parser.add_argument('--no-inductor', dest='inductor', action='store_false',
        help='do not compile the dense form')  # fmt: skip
    cli.add_output_arguments(parser, 'that of the checkpoint')
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Measure, then write."""
    from mask_plugins.analysis.streams.dense_rivals import dense_rivals
    from mask_plugins.analysis.streams.gate_comparison import load_clips
    from mask_plugins.apis.config import check_file, load_config
    from mask_plugins.apis.data import build_test_set
    from mask_plugins.apis.model import load_trained_model
    from mask_plugins.benchmarks.pass_labeled import (
        dense_backbone,
        measure_labeled,
    )
    from mask_plugins.utils.files import write_json
    from mask_plugins.utils.progress import track

    out = cli.output_folder(args.out, osp.dirname(args.checkpoint))
    cfg = load_config(args.config, options=cli.parse_options(args.cfg_options))
    check_file(args.checkpoint, 'checkpoint')
    model = load_trained_model(cfg, args.checkpoint)
    cfg.test_dataloader.dataset.indices = args.clips
    dataset = build_test_set(cfg, model)
    if len(dataset) < args.clips:
        raise ValueError(
            f'--clips must be at most {len(dataset)}, those of the test set, '
            f'got {args.clips} (drawn clips: --cfg-options '
            f'test_dataloader.dataset.num_clips={args.clips})'
        )
    clips, labels = load_clips(model, dataset)
    dense = dense_backbone(model)
    rivals = dense_rivals(dense, clips[0][:1], args.inductor, log=print)
    records = [
        measure_labeled(
            model,
            rivals['fp32'],
            clips,
            labels,
            threshold,
            lambda x, t=threshold: track(x, f'threshold {t:g}, clips'),
        )
        for threshold in args.thresholds
    ]
    cli.print_table(
        list(COLUMNS),
        [[f'{record[key]:.3g}' for key in COLUMNS] for record in records],
        '{frames} frames; times in ms; dense: {dense}'.format(**records[0]),
    )
    path = osp.join(out, 'pass_labeled.json')
    write_json(path, records)
    cli.print_written([path])


if __name__ == '__main__':
    main()
