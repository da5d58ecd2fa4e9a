# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Make a stock mmengine checkpoint loadable with weights_only=True.

mmengine's CheckpointHook pickles its log history, which torch >= 2.6 refuses
to load. The copy that this writes is what mask_plugins.SafeCheckpointHook
would have written: `mim test`, inferencers and --resume read it. Nothing in
the source is run.
"""

import argparse
import os

from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Copy a checkpoint of a stock run without its pickled '
        'objects; a run with mask_plugins.SafeCheckpointHook resumes from it.',
        epilog='example: python tools/model_converters/stock_to_safe.py '
        'work_dirs/run/epoch_3.pth work_dirs/run_safe/epoch_3.pth',
    )
    parser.add_argument('src', help='checkpoint of a run, .pth')
    parser.add_argument('dst', help='file to write, .pth')
    return parser.parse_args(argv)


@entry_point()
def main(argv=None):
    """Run the tool; a wrong file is told in one line."""
    args = parse_args(argv)
    run(args.src, args.dst)


def run(src, dst):
    """Read, make plain, write."""
    import torch
    from mmengine.logging import HistoryBuffer

    from mask_plugins.engine.checkpoint.plain_checkpoint import KEY, to_plain
    from mask_plugins.models.converters import take_weights
    from mask_plugins.utils.files import replace_atomically
    from mask_plugins.utils.safe_load import read_checkpoint

    if os.path.abspath(src) == os.path.abspath(dst):
        raise ValueError(f'dst would overwrite src, {src!r}')
    checkpoint = read_checkpoint(src)
    take_weights(checkpoint, 'state_dict', src)
    if KEY in checkpoint:
        raise ValueError(f'{src!r} loads with weights_only=True already')
    try:
        scalars = checkpoint.get('message_hub', {}).get('log_scalars', {})
        for name, history in scalars.items():
            scalars[name] = HistoryBuffer(
                history['_log_history'],
                history['_count_history'],
                history['max_length'],
            )
    except (AssertionError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'{src!r}: its log is damaged ({error!r})') from error
    dropped = to_plain(checkpoint)
    with replace_atomically(dst) as part:
        torch.save(checkpoint, part)
    print(f'wrote {dst}: {len(scalars)} log histories made plain')
    for name in dropped:
        print(f'left out: {name}')


if __name__ == '__main__':
    main()
