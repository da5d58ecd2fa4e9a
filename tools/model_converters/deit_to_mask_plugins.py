# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Convert a DeiT checkpoint, stock or of the PSS repository.

The averaged weights of a training checkpoint are under `--key model_ema`.
"""

from mask_plugins.analysis.weights.converter_cli import (
    convert_file,
    make_parser,
)
from mask_plugins.utils.entry_point import entry_point


@entry_point()
def main() -> None:
    """Run the tool."""
    parser = make_parser('DeiT', 'deit_to_mask_plugins')
    args = parser.parse_args()
    from mask_plugins.models.converters import convert_deit

    convert_file(args, convert_deit)


if __name__ == '__main__':
    main()
