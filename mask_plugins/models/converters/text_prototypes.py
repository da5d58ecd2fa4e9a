# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Names of classes, embedded by CLIP's text tower of transformers.

Used once per dataset, by ``tools/model_converters/clip_prototypes.py``.
"""

import json
import os
from typing import Any, Dict, Sequence

import torch
from torch import Tensor, nn

from mask_plugins.utils.checks import PathLike, check_path
from mask_plugins.utils.openmmlab import imports_for
from mask_plugins.utils.safetensors_file import write_safetensors

PROMPT = 'This is a photo of a {label}'


def build_text_tower(weights: Dict[str, Tensor]) -> nn.Module:
    """The text tower of a checkpoint, its sizes read off the weights.

    Args:
        weights (dict[str, Tensor]): What :func:`text_tower_weights` returned.

    Returns:
        CLIPTextModelWithProjection: In eval mode.

    Raises:
        ImportError: If transformers is not installed.
        ValueError: If a weight is missing or has another shape.

    Examples:
        >>> from mask_plugins.models.converters import text_tower_weights
        >>> weights = text_tower_weights(clip)  # doctest: +SKIP
        >>> tower = build_text_tower(weights)  # doctest: +SKIP
    """
    with imports_for('a text tower'):
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection
    layers, table = 'text_model.encoder.layers.', 'text_model.embeddings.{}'
    depth = len({k.split('.')[3] for k in weights if k.startswith(layers)})
    vocab_size, width = weights[table.format('token_embedding.weight')].shape
    length = len(weights[table.format('position_embedding.weight')])
    config = CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=depth,
        num_attention_heads=max(width // 64, 1),
        max_position_embeddings=length,
        projection_dim=len(weights['text_projection.weight']),
        eos_token_id=vocab_size - 1,
        bos_token_id=vocab_size - 2,
        pad_token_id=0,
    )
    tower = CLIPTextModelWithProjection(config)
    own = {k: v for k, v in weights.items() if k != 'logit_scale'}
    try:
        tower.load_state_dict(own)
    except RuntimeError as error:
        raise ValueError(f'the text tower is damaged: {error}') from error
    return tower.eval()


def read_tokenizer(path: PathLike) -> Any:
    """CLIP's tokenizer, from its ``tokenizer.json``.

    Args:
        path (str | PathLike): The file, or the folder that it lies in, as
            openai/clip-vit-base-patch32 of the Hugging Face hub has it.

    Returns:
        tokenizers.Tokenizer: It adds the start and the end token.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the library tokenizers is not installed.
        ValueError: If it is not CLIP's.

    Examples:
        >>> read_tokenizer('no/such/folder')
        Traceback (most recent call last):
        ...
        FileNotFoundError: tokenizer not found: 'no/such/folder': it is \
tokenizer.json of https://huggingface.co/openai/clip-vit-base-patch32
    """
    path = check_path('tokenizer', path)
    if os.path.isdir(path):
        path = os.path.join(path, 'tokenizer.json')
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'tokenizer not found: {path!r}: it is tokenizer.json of '
            'https://huggingface.co/openai/clip-vit-base-patch32'
        )
    with imports_for("CLIP's tokenizer"):
        from tokenizers import Tokenizer
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # it has no class of its own
        raise ValueError(f'{path!r} is not a tokenizer: {error}') from error
    tokens = tokenizer.encode('a').tokens
    last = tokenizer.id_to_token(tokenizer.get_vocab_size() - 1)
    start, end = '<|startoftext|>', '<|endoftext|>'
    if [*tokens[:1], *tokens[-1:], last] != [start, end, end]:
        raise ValueError(
            f"{path!r} is not CLIP's tokenizer: texts must lie between {start}"
            f' and {end}, which must have the highest id'
        )
    return tokenizer


@torch.no_grad()
def embed_classes(
    tower: nn.Module,
    tokenizer: Any,
    classes: Sequence[str],
    prompt: str = PROMPT,
) -> Tensor:
    """One prototype per class.

    Args:
        tower (nn.Module): What :func:`build_text_tower` returned.
        tokenizer (tokenizers.Tokenizer): See :func:`read_tokenizer`.
        classes (Sequence[str]): Names, in the order of the labels;
            underscores count as spaces.
        prompt (str): Has ``{label}`` in it. Defaults to that of Self-Masking
            Networks, ``'This is a photo of a {label}'``.

    Returns:
        Tensor: (C, D), not normalized.

    Raises:
        ValueError: If the prompt has no ``{label}``, there are no classes, or
            the tokenizer knows other tokens than the tower.

    Examples:
        >>> embed_classes(None, None, ['cat'], prompt='a photo')
        Traceback (most recent call last):
        ...
        ValueError: prompt must contain '{label}', got 'a photo'
    """
    if '{label}' not in prompt:
        raise ValueError(f"prompt must contain '{{label}}', got {prompt!r}")
    if not classes:
        raise ValueError('classes must be names, got none')
    config = tower.config
    if tokenizer.get_vocab_size() != config.vocab_size:
        raise ValueError(
            f'the tokenizer has {tokenizer.get_vocab_size()} tokens, the '
            f'checkpoint {config.vocab_size}: they do not belong together'
        )
    tokenizer.enable_truncation(config.max_position_embeddings)
    tokenizer.enable_padding(pad_id=0)
    texts = [prompt.replace('{label}', c.replace('_', ' ')) for c in classes]
    rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    tokens = torch.tensor(rows)  # (C, L), padded after the end token
    return torch.cat([tower(part).text_embeds for part in tokens.split(64)])


def write_prototypes(
    path: PathLike,
    prototypes: Tensor,
    logit_scale: Tensor,
    classes: Sequence[str],
    prompt: str,
) -> None:
    """Write what ``TextPrototypeClsHead`` reads; whole or not at all.

    Args:
        path (str | PathLike): The ``.safetensors`` file.
        prototypes (Tensor): (C, D).
        logit_scale (Tensor): Scalar.
        classes (Sequence[str]): Names, kept as metadata.
        prompt (str): The same.

    Examples:
        >>> import tempfile
        >>> from mask_plugins.utils.safe_load import read_checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = f'{folder}/p.safetensors'
        ...     write_prototypes(
        ...         path, torch.ones(1, 2), torch.ones(()), ['cat'], PROMPT)
        ...     read_checkpoint(path)['prototypes']
        tensor([[1., 1.]])
    """
    tensors = dict(prototypes=prototypes, logit_scale=logit_scale)
    metadata = dict(classes=json.dumps(list(classes)), prompt=prompt)
    write_safetensors(path, tensors, metadata)
