# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""CLIP's text tower, of torch's own parts.

mmpretrain's needs transformers and pycocotools to be importable at all. It is
used once per dataset, to embed the names of the classes.
"""

import json
import os
from typing import Dict, List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PROMPT = 'This is a photo of a {label}'


def quick_gelu(x: Tensor) -> Tensor:
    """The activation that CLIP was trained with."""
    return x * torch.sigmoid(1.702 * x)


class CLIPTextTower(nn.Module):
    """Radford et al., arXiv:2103.00020, section 2.4: a causal transformer.

    Args:
        width (int): Channels.
        layers (int): Blocks.
        vocab_size (int): Number of tokens.
        context_length (int): Longest text, with start and end token.
        embed_dims (int): Length of an embedding.
    """

    def __init__(
        self,
        width: int = 512,
        layers: int = 12,
        vocab_size: int = 49408,
        context_length: int = 77,
        embed_dims: int = 512,
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(
            torch.zeros(context_length, width)
        )
        block = nn.TransformerEncoderLayer(
            width,
            max(width // 64, 1),
            4 * width,
            dropout=0.0,
            activation=quick_gelu,
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            block, layers, enable_nested_tensor=False
        )
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, embed_dims))
        self.logit_scale = nn.Parameter(torch.zeros(()))

    @classmethod
    def from_weights(cls, weights: Dict[str, Tensor]) -> 'CLIPTextTower':
        """The tower of a checkpoint, its sizes read off the weights.

        Args:
            weights (dict[str, Tensor]): What
                :func:`mask_plugins.models.converters.text_tower_weights`
                returns.
        """
        vocab_size, width = weights['token_embedding.weight'].shape
        blocks = {
            key.split('.')[2] for key in weights if key.startswith('encoder.')
        }
        tower = cls(
            width,
            len(blocks),
            vocab_size,
            weights['positional_embedding'].shape[0],
            weights['text_projection'].shape[1],
        )
        tower.load_state_dict(weights)
        return tower.eval()

    def forward(self, tokens: Tensor) -> Tensor:
        """Embeddings of texts, (N, L) -> (N, D), not normalized.

        Args:
            tokens (Tensor): Ids, padded behind the end token, which has the
                highest of all ids.
        """
        length = tokens.shape[1]
        x = self.token_embedding(tokens) + self.positional_embedding[:length]
        causal = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.encoder(x, mask=causal.to(x))
        x = x[torch.arange(len(x)), tokens.argmax(-1)]
        return self.ln_final(x) @ self.text_projection


def read_tokenizer(path: str):
    """CLIP's tokenizer, from its ``tokenizer.json``.

    Args:
        path (str): The file, or the folder that it lies in, as
            openai/clip-vit-base-patch32 of the Hugging Face hub has it.

    Returns:
        tokenizers.Tokenizer: It adds the start and the end token.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the library tokenizers is not installed.
        ValueError: If it is not CLIP's.
    """
    if os.path.isdir(path):
        path = os.path.join(path, 'tokenizer.json')
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'there is no tokenizer at {path!r}: it is tokenizer.json of '
            'https://huggingface.co/openai/clip-vit-base-patch32'
        )
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError(
            'texts are tokenized by the library tokenizers: '
            'pip install tokenizers'
        ) from error
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # it has no class of its own
        raise ValueError(f'{path!r} is no tokenizer: {error}') from error
    end = tokenizer.token_to_id('<|endoftext|>')
    if end is None or end != tokenizer.get_vocab_size() - 1:
        raise ValueError(
            f"{path!r} is not CLIP's tokenizer: <|endoftext|> must have the "
            f'highest id, it has {end}'
        )
    ids = tokenizer.encode('a').ids
    if ids[0] != tokenizer.token_to_id('<|startoftext|>') or ids[-1] != end:
        raise ValueError(
            f'{path!r} does not put texts between <|startoftext|> and '
            '<|endoftext|>'
        )
    return tokenizer


@torch.no_grad()
def embed_classes(
    tower: CLIPTextTower,
    tokenizer,
    classes: Sequence[str],
    prompt: str = PROMPT,
) -> Tensor:
    """One prototype per class.

    Args:
        tower (CLIPTextTower): The text tower.
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
    """
    if '{label}' not in prompt:
        raise ValueError(f"prompt must contain '{{label}}', got {prompt!r}")
    if not classes:
        raise ValueError('classes must be names, got none')
    vocab_size = tower.token_embedding.num_embeddings
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(
            f'the tokenizer has {tokenizer.get_vocab_size()} tokens, the '
            f'checkpoint {vocab_size}: they do not belong together'
        )
    longest = tower.positional_embedding.shape[0]
    rows: List[List[int]] = []
    for name in classes:
        ids = tokenizer.encode(prompt.format(label=name.replace('_', ' '))).ids
        rows.append(
            ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]]
        )
    width = max(map(len, rows))
    tokens = torch.stack(
        [F.pad(torch.tensor(row), (0, width - len(row))) for row in rows]
    )
    return torch.cat([tower(part) for part in tokens.split(64)])


def write_prototypes(
    path: str,
    tower: CLIPTextTower,
    prototypes: Tensor,
    classes: Sequence[str],
    prompt: str,
) -> None:
    """Write what ``TextPrototypeClsHead`` reads; whole or not at all."""
    from safetensors.torch import save_file

    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    part = f'{path}.part'
    try:
        save_file(
            dict(
                prototypes=prototypes.contiguous(),
                logit_scale=tower.logit_scale.detach().clone(),
            ),
            part,
            metadata=dict(classes=json.dumps(list(classes)), prompt=prompt),
        )
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)
