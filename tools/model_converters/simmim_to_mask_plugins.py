# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Convert a SimMIM ViT checkpoint, pre-trained or fine-tuned."""

from functools import partial

from mask_plugins.analysis.weights.converter_cli import (
    convert_file,
    make_parser,
)
from mask_plugins.utils.entry_point import entry_point


@entry_point()
def main() -> None:
    """Run the tool."""
    parser = make_parser('SimMIM', 'simmim_to_mask_plugins')
    parser.add_argument(
        '--out-type',
        choices=('avg_featmap', 'cls_token'),
        help='read-out to fill (default: that of the checkpoint; after '
        'pre-training avg_featmap)',
    )
    args = parser.parse_args()
    from mask_plugins.models.converters import convert_simmim

    convert_file(args, partial(convert_simmim, out_type=args.out_type))


if __name__ == '__main__':
    main()
