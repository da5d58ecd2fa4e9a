# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Write the features of the training and test set of a config."""

from mask_plugins.analysis import cli
from mask_plugins.utils.entry_point import entry_point


@entry_point(RuntimeError)
def main(argv=None) -> None:
    """Run the tool."""
    parser = cli.make_parser(
        'Write the features of the training and test set of a config. The '
        'same command continues one that was killed.',
        'extract_features',
        'CONFIG CHECKPOINT --out work_dirs/features.safetensors',
    )
    add = parser.add_argument
    add('config', help='a path, or the name of a config of mask_plugins')
    add('checkpoint', help='.pth or .safetensors')
    add('--out', required=True, metavar='FILE.safetensors',
        help='file to write')  # fmt: skip
    add('--layer', choices=('backbone', 'neck', 'pre_logits'),
        default='backbone', help='default: %(default)s')  # fmt: skip
    add('--adapter', help='masks to load onto the backbone; those of a '
        'head are left out')  # fmt: skip
    add('--normalize', action='store_true', help='rows of length 1')
    add('--device', help='default: a GPU if there is one')
    add('--launcher', choices=('none', 'pytorch', 'slurm'), default='none',
        help='several processes share the images')  # fmt: skip
    args = parser.parse_args(argv)
    run(args)


def run(args) -> None:
    """Compute, then write."""
    from mmengine.dist import init_dist, is_distributed

    from mask_plugins.analysis.cascade.feature_files import write_features
    from mask_plugins.apis.config import load_config
    from mask_plugins.apis.features import load_feature_model
    from mask_plugins.core.weights import load_masks, read_adapter
    from mask_plugins.engine.launching import launch
    from mask_plugins.utils.compat_torch import leave_process_group

    cfg = load_config(args.config)
    launch.prepare_launch(cfg, args.launcher)
    if args.launcher != 'none' and not is_distributed():
        init_dist(args.launcher)
    model = load_feature_model(cfg, args.checkpoint, args.device)
    if args.adapter:
        adapter = read_adapter(args.adapter)
        # Of a cascade: masks of the backbone alone.
        whole = any(k.startswith('backbone.') for k in adapter.masks)
        where = (model, 'backbone.*') if whole else (model.backbone, '*')
        load_masks(where[0], adapter, only=where[1])
    write_features(cfg, model, args.out, args.layer, args.normalize)
    print(f'wrote {args.out}')
    leave_process_group()


if __name__ == '__main__':
    main()
