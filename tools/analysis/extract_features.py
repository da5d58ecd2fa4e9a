# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Write the features of the training and test set of a config."""

import argparse
import sys


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
    add('--layer', choices=('backbone', 'neck', 'pre_logits'),
        default='backbone', help='default: %(default)s')  # fmt: skip
    add('--adapter', help='masks to load onto the model')
    add('--normalize', action='store_true', help='rows of length 1')
    add('--device', help='default: a GPU if there is one')
    args = parser.parse_args(argv)
    # Imported here: `--help` needs none of it.
    from mask_plugins.analysis.cascade.feature_files import write_features
    from mask_plugins.apis.config import load_config
    from mask_plugins.apis.features import load_feature_model
    from mask_plugins.core.weights import load_masks

    try:
        cfg = load_config(args.config)
        model = load_feature_model(cfg, args.checkpoint, args.device)
        if args.adapter:
            load_masks(model, args.adapter)
        write_features(cfg, model, args.out, args.layer, args.normalize)
    except (ValueError, OSError) as error:
        sys.exit(f'error: {error}')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
