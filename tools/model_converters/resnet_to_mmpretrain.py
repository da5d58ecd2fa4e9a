# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Convert a ResNet of torchvision, timm, SwAV, DINO or MoCo.

The weights get the names of mmpretrain's ResNet with the prefix `backbone.`:
init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.').
"""

import functools

from mask_plugins.analysis.weights.converter_cli import (
    convert_file,
    make_parser,
)
from mask_plugins.utils.entry_point import entry_point

SOURCES = ('torchvision', 'timm', 'swav', 'dino', 'moco')


@entry_point()
def main() -> None:
    """Run the tool."""
    parser = make_parser(
        ', '.join(SOURCES), 'resnet_to_mmpretrain', '', 'ResNet'
    )
    parser.add_argument(
        '--source',
        choices=SOURCES,
        default='torchvision',
        help='whose file it is (default: %(default)s)',
    )
    args = parser.parse_args()
    from mask_plugins.models.converters import convert_resnet
    from mask_plugins.models.converters.resnet import SOURCES as KEYS

    args.key = args.key or KEYS[args.source].key
    convert_file(args, functools.partial(convert_resnet, source=args.source))


if __name__ == '__main__':
    main()
