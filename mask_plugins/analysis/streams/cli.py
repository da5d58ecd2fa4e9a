# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the tools for gated streams have in common."""

import argparse
from typing import Any, NamedTuple, Optional

from .. import cli

CALIBRATION_FRAMES = 4
THRESHOLD = 0.05


class Setup(NamedTuple):
    """A video, the dense network and the gated one.

    Args:
        frames (list[np.ndarray]): uint8 RGB; none for a camera.
        source (FrameSource): Where they come from.
        dense (Callable): From an input to the last feature of the network of
            :func:`best_dense`.
        stream (GatedStream): The gated network.
        head (Callable): Scores of classes from the last feature.
        title (str): For pictures and tables.
    """

    frames: list
    source: Any
    dense: Any
    stream: Any
    head: object
    title: str


def add_stream_arguments(
    parser: argparse.ArgumentParser, frames: Optional[int], camera: bool
) -> None:
    """Add the video, the network and its gates.

    Args:
        parser (argparse.ArgumentParser): Changed in place.
        frames (int, optional): Default of ``--frames``.
        camera (bool): Whether a camera is of use.
    """
    add = parser.add_argument
    add('video', nargs='?', help='video file or folder of images (default: '
        'a generated scene)')  # fmt: skip
    if camera:
        add('--camera', type=int, metavar='N', help='number of a camera')
    add('--frames', type=cli.positive, metavar='N', default=frames,
        help='frames to take (default: %(default)s)')  # fmt: skip
    add('--skip', type=int, default=0, metavar='N',
        help='frames to leave out first')  # fmt: skip
    add('--size', type=cli.positive, default=512,
        help='height and width in pixels (default: %(default)s)')  # fmt: skip
    add('--depth', type=int, default=18, help='of the ResNet: 18, 34, 50, '
        '101, 152 (default: %(default)s)')  # fmt: skip
    add('--weights', metavar='FILE', help="state dict of mmpretrain's ResNet "
        '(default: random weights, norms calibrated on the first '
        'frames)')  # fmt: skip
    add('--gates', metavar='FILE.json', help='what calibrate_gate.py wrote '
        '(default: one threshold)')  # fmt: skip
    add('--threshold', type=float, help='of all gates, relative to the mean '
        'magnitude of a map (default: 0.05; the demonstration finds one for '
        'each)')  # fmt: skip
    add('--dtype', choices=('fp32', 'bf16'), default='fp32',
        help='of both networks (default: %(default)s)')  # fmt: skip
    add('--place', choices=('block', 'conv'), default='block',
        help='a gate per residual block or per convolution')  # fmt: skip
    add('--patch-sizes', type=cli.positive, nargs=4, metavar='P',
        help='of the four stages, in pixels of '
        'the maps that they put out (default: 4 4 2 2)')  # fmt: skip
    add('--reuse', choices=('output', 'input'), default='output')
    add('--sample-channels', type=cli.positive, metavar='N',
        help='compare only so many channels of a map (default: '
        'all)')  # fmt: skip
    add('--refresh-every', type=int, default=10, metavar='N',
        help='compute every patch again within N frames; 0: never (default: '
        '%(default)s)')  # fmt: skip
    add('--threads', type=cli.positive, help='CPU threads (default: all)')
    add('--seed', type=int, default=0)


def prepare(args: argparse.Namespace) -> Setup:
    """Read the frames and build both networks.

    Args:
        args (argparse.Namespace): Of :func:`add_stream_arguments`.

    Raises:
        ValueError, OSError: If an argument does not fit.
    """
    # Slow to import, so not for --help.
    import torch

    from mask_plugins.models.gated_model import read_rules

    from .dense_rivals import DTYPES, in_precision
    from .frame_source import FrameSource, to_input
    from .gated_stream import PATCH_SIZES, GatedStream, gate_network
    from .stream_model import best_dense, random_head, random_resnet

    if args.threads:
        torch.set_num_threads(args.threads)
    camera = getattr(args, 'camera', None)
    source = FrameSource(
        args.video, camera, args.size, args.frames, args.skip, args.seed
    )
    rules = read_rules(args.gates) if args.gates else ()
    frames = list(source) if camera is None else []
    first = frames[:CALIBRATION_FRAMES] or [next(iter(source))]
    backbone = random_resnet(map(to_input, first), args.depth, args.seed)
    title = f'ResNet-{args.depth}, {args.size} px, {source.name}'
    if args.weights:
        from mask_plugins.apis.model import load_weights, read_trained

        found = read_trained(args.weights).items()
        weights = {k.removeprefix('backbone.'): v for k, v in found}
        weights = {
            k: weights[k] for k in backbone.state_dict() if k in weights
        }
        load_weights(backbone, weights, args.weights)
    else:
        title += ', random weights'
    if args.dtype != 'fp32':
        title += f', {args.dtype}'
    dense = best_dense(backbone)
    given = args.threshold
    gate = dict(type='threshold', sample_channels=args.sample_channels)
    network = gate_network(
        dense,
        dict(gate, threshold=THRESHOLD if given is None else given),
        args.place,
        args.patch_sizes or PATCH_SIZES,
        reuse=args.reuse,
        rules=rules,
    )
    dtype = DTYPES[args.dtype]
    dense, network = dense.to(dtype), network.to(dtype)
    stream = GatedStream(network, refresh_every=args.refresh_every)
    head = random_head(backbone.feat_dim, seed=args.seed)
    step = in_precision(dense, dtype)
    return Setup(frames, source, step, stream, head, title)
