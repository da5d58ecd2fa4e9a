# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Write the features of the training and test set of a config."""

import argparse
import sys

from mask_plugins.apis.features import LAYERS


def main(argv=None) -> None:
    """Run the tool."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/analysis/extract_features.py '
        'CONFIG CHECKPOINT --out work_dirs/features.safetensors',
    )
    add = parser.add_argument
    add('config', help='a path, or the name of a config of mask_plugins')
    add('checkpoint', help='.pth or .safetensors')
    add('--out', required=True, metavar='FILE.safetensors',
        help='file to write')  # fmt: skip
    add('--layer', choices=LAYERS, default='backbone',
        help='default: %(default)s')  # fmt: skip
    add('--adapter', help='masks to load onto the model')
    add('--normalize', action='store_true', help='rows of length 1')
    add('--device', help='default: a GPU if there is one')
    args = parser.parse_args(argv)
    from mask_plugins.analysis.cascade.feature_files import write_features
    from mask_plugins.apis.config import load_config

    try:
        write_features(
            load_config(args.config),
            args.checkpoint,
            args.out,
            args.layer,
            args.adapter,
            args.normalize,
            args.device,
        )
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
