# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Embed the names of the classes by CLIP's text tower.

Needs transformers: pip install 'mask_plugins[clip]'.
"""

import argparse

from mask_plugins.utils.entry_point import entry_point


def parse_args(argv=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Embed the names of the classes by the text tower of a '
        'CLIP, for mask_plugins.TextPrototypeClsHead. The order of the names '
        "is that of the labels. Needs pip install 'mask_plugins[clip]'.",
        epilog='example: SMN_DATASET=dtd python '
        'tools/model_converters/clip_prototypes.py '
        'clip/model.safetensors clip/tokenizer.json '
        'checkpoints/clip-vit-base-p32_dtd.safetensors '
        '--config configs/self_masking/smn_clip-vit-base-p32_1xb64-32e.py',
    )
    parser.add_argument(
        'checkpoint', help='whole CLIP of OpenAI, Hugging Face or mmpretrain'
    )
    parser.add_argument(
        'tokenizer', help='tokenizer.json, of the Hugging Face repository'
    )
    parser.add_argument('out', help='file to write, .safetensors')
    names = parser.add_mutually_exclusive_group(required=True)
    names.add_argument(
        '--config', help='config whose training set has the classes'
    )
    names.add_argument('--classes', nargs='+', help='the names themselves')
    parser.add_argument(
        '--prompt',
        help='text around {label} (default: This is a photo of a {label})',
    )
    parser.add_argument(
        '--key',
        default='state_dict',
        help='entry of the file that holds the weights (default: %(default)s)',
    )
    return parser.parse_args(argv)


@entry_point(ImportError)
def main(argv=None):
    """Run the tool; a wrong file is told in one line."""
    args = parse_args(argv)
    run(args)


def run(args):
    """Embed, then write."""
    from mask_plugins.models.converters import (
        read_weights,
        text_prototypes,
        text_tower_weights,
    )

    weights = read_weights(args.checkpoint, args.key)
    try:
        weights = text_tower_weights(weights)
    except ValueError as error:
        raise ValueError(f'{args.checkpoint!r}: {error}') from error
    prompt = args.prompt or text_prototypes.PROMPT
    tokenizer = text_prototypes.read_tokenizer(args.tokenizer)
    classes = args.classes or classes_of(args.config)
    found = text_prototypes.embed_classes(
        text_prototypes.build_text_tower(weights),
        tokenizer,
        classes,
        prompt,
    )
    text_prototypes.write_prototypes(
        args.out, found, weights['logit_scale'], classes, prompt
    )
    print(
        f'wrote {len(classes)} prototypes of {found.shape[1]} numbers to '
        f'{args.out}: {", ".join(list(classes)[:3])} ...'
    )


def classes_of(path):
    """Names of the classes of the training set of a config."""
    from mmengine.registry import DATASETS

    from mask_plugins.apis.config import load_config
    from mask_plugins.apis.model import config_scope

    cfg = load_config(path)
    with config_scope(cfg):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    classes = dataset.metainfo.get('classes')
    if not classes:
        raise ValueError(f'the training set of {path} does not name classes')
    return classes


if __name__ == '__main__':
    main()
