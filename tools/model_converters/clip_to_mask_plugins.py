# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Convert a CLIP of OpenAI, Hugging Face or mmpretrain for masking.

The visual tower gets the names of mmpretrain's VisionTransformer, the
projection those of mask_plugins.TextPrototypeClsHead. The text tower is left
out: clip_prototypes.py embeds the names of the classes once.
"""

from mask_plugins.analysis.weights.converter_cli import (
    convert_file,
    make_parser,
)
from mask_plugins.utils.entry_point import entry_point


@entry_point()
def main() -> None:
    """Run the tool."""
    parser = make_parser(
        'CLIP',
        'clip_to_mask_plugins',
        'state_dict',
        'VisionTransformer and mask_plugins.TextPrototypeClsHead',
    )
    args = parser.parse_args()
    from mask_plugins.models.converters import convert_clip

    convert_file(args, convert_clip)


if __name__ == '__main__':
    main()
