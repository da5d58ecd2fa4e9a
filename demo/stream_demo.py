# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Dense and gated inference side by side, on a video or a camera."""

import argparse
import os.path as osp
from itertools import chain, islice

from mask_plugins.analysis import cli
from mask_plugins.analysis.streams.cli import add_stream_arguments, prepare
from mask_plugins.utils.entry_point import entry_point
from mask_plugins.utils.progress import track

NO_GAIN = (
    'skipping gains nothing on this machine and video: the network runs dense'
)


def parse_args(argv=None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Run a ResNet over a video twice, densely and computing '
        'only the patches that have changed. Thresholds are found on the '
        'first frames; where nothing is gained on this machine and video, '
        'the network runs dense. Writes stream_demo.mp4 (active patches '
        'in color, frames per second, latency, skip ratio and error), a '
        'picture and the numbers of each frame.',
        epilog='example: python demo/stream_demo.py video.avi --frames 200 '
        '--target-error 0.2 --out work_dirs/stream_demo',
    )
    add_stream_arguments(parser, frames=120, camera=True)
    parser.add_argument('--target-error', type=float, default=0.1,
        metavar='E', help='mean relative L2 error of the last feature that '
        'thresholds are found for, without --gates and --threshold (default: '
        '%(default)s)')  # fmt: skip
    parser.add_argument('--calibration-frames', type=cli.positive, default=11,
        metavar='N', help='first frames on which they are found (default: '
        '%(default)s)')  # fmt: skip
    cli.add_output_arguments(parser, 'work_dirs/stream_demo')
    return parser.parse_args(argv)


@entry_point()
def main(argv=None) -> None:
    """Run the demonstration."""
    args = parse_args(argv)
    run(args)


def run(args: argparse.Namespace) -> None:
    """Compare frame by frame, then write and print."""
    from mask_plugins.analysis.streams.frame_source import to_input
    from mask_plugins.analysis.streams.quick_calibration import (
        calibrate_stream,
        run_dense,
        still_gains,
    )
    from mask_plugins.analysis.streams.stream_comparison import (
        StreamComparison,
        summarize_stream,
    )
    from mask_plugins.datasets.video import VideoWriter
    from mask_plugins.utils.files import write_json
    from mask_plugins.visualization import save_figure
    from mask_plugins.visualization.stream_charts import (
        draw_stream,
        pick_snapshots,
    )
    from mask_plugins.visualization.stream_frames import compose_stream_frame

    out = cli.output_folder(args.out, 'work_dirs/stream_demo')
    setup = prepare(args)
    frames = iter(setup.frames or setup.source)
    gated, found = True, args.gates or args.threshold is not None
    if not found:
        first = list(islice(frames, args.calibration_frames))
        frames = chain(first, frames)
        if len(first) > 1:
            images = list(map(to_input, first))
            gated = calibrate_stream(
                *(setup.stream, setup.dense, images, args.target_error), print
            )
    if not gated:
        print(NO_GAIN)
    comparison = StreamComparison(
        setup.dense,
        setup.stream,
        setup.stream.skip_ratio,
        setup.head,
    )
    total = len(setup.frames) or args.frames
    wanted, records, snapshots = pick_snapshots(total), [], []
    path = osp.join(out, 'stream_demo.mp4')
    with VideoWriter(path) as video:
        for frame in track(frames, 'frames', total):
            record = comparison.step(to_input(frame))
            records.append(record)
            active = setup.stream.active()
            if record['frame'] in wanted:
                snapshots.append((record['frame'], frame, active))
            video.write(compose_stream_frame(frame, active, record, records))
            if gated and not found and not still_gains(records):
                gated = False
                run_dense(setup.stream)
                print(f'frame {record["frame"]}: {NO_GAIN}')
    summary = summarize_stream(records)
    print_summary(setup.title, summary)
    figure = draw_stream(records, snapshots, setup.title)
    cli.print_written(
        [
            path,
            save_figure(
                figure, osp.join(out, f'stream_demo.{args.format}'), dpi=150
            ),
            write_json(
                osp.join(out, 'stream_demo.json'),
                dict(title=setup.title, summary=summary, frames=records),
            ),
        ]
    )


def print_summary(title: str, summary: dict) -> None:
    """Print the table and one line on what it says."""
    cli.print_table(
        ['', 'frames/s', 'p50 ms', 'p95 ms'],
        [
            [
                name,
                f'{summary[f"fps_{name}"]:.1f}',
                f'{summary[f"{name}_p50"]:.1f}',
                f'{summary[f"{name}_p95"]:.1f}',
            ]
            for name in ('dense', 'gated')
        ],
        title,
    )
    print(
        f'speed-up {summary["speed_up"]:.2f}, skip ratio '
        f'{summary["skip_ratio"]:.2f}, agreement of the top class '
        f'{100 * summary["agreement"]:.1f} %, relative L2 error '
        f'{100 * summary["error_mean"]:.2f} % (p95 '
        f'{100 * summary["error_p95"]:.2f} %), first frame '
        f'{summary["first_ms"]:.1f} ms'
    )


if __name__ == '__main__':
    main()
