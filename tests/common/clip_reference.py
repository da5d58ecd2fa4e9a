# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A small CLIP with OpenAI's names, and what it computes, written out."""

import re

import torch
import torch.nn.functional as F

WIDTH, DEPTH, PATCH, SIZE, DIMS, LENGTH = 64, 2, 4, 8, 16, 12
WORDS = ['<pad>', 'this', 'is', 'a', 'photo', 'of', 'cat', 'big', 'dog',
         '<unk>', '<|startoftext|>', '<|endoftext|>']  # fmt: skip


def blocks(prefix):
    shapes = {
        'ln_1': (WIDTH,), 'ln_2': (WIDTH,),
        'attn.in_proj': (3 * WIDTH, WIDTH), 'attn.out_proj': (WIDTH, WIDTH),
        'mlp.c_fc': (4 * WIDTH, WIDTH), 'mlp.c_proj': (WIDTH, 4 * WIDTH),
    }  # fmt: skip
    for n in range(DEPTH):
        for key, shape in shapes.items():
            name = f'{prefix}transformer.resblocks.{n}.{key}'
            name += '_' if key.endswith('in_proj') else '.'
            yield f'{name}weight', shape
            yield f'{name}bias', shape[:1]


def openai_state():
    """A small CLIP with OpenAI's names."""
    shapes = dict(blocks('visual.')) | dict(blocks(''))
    shapes |= {
        'visual.conv1.weight': (WIDTH, 3, PATCH, PATCH),
        'visual.class_embedding': (WIDTH,),
        'visual.positional_embedding': ((SIZE // PATCH) ** 2 + 1, WIDTH),
        'visual.proj': (WIDTH, DIMS),
        'token_embedding.weight': (len(WORDS), WIDTH),
        'positional_embedding': (LENGTH, WIDTH),
        'text_projection': (WIDTH, DIMS),
    }
    for name in ('visual.ln_pre', 'visual.ln_post', 'ln_final'):
        shapes |= {f'{name}.weight': (WIDTH,), f'{name}.bias': (WIDTH,)}
    generator = torch.Generator().manual_seed(0)
    state = {
        key: 0.2 * torch.randn(shape, generator=generator)
        for key, shape in shapes.items()
    }
    for key in state:
        if re.search(r'ln_\w+\.weight', key):
            state[key] += 1
    state['logit_scale'] = torch.tensor(2.5)
    state['context_length'] = torch.tensor(LENGTH)
    return state


def to_hugging_face(state):
    """The same weights as transformers names them."""
    names = (
        ('visual.class_embedding', 'vision_model.embeddings.class_embedding'),
        ('visual.conv1.', 'vision_model.embeddings.patch_embedding.'),
        ('visual.positional_embedding',
         'vision_model.embeddings.position_embedding.weight'),
        ('visual.ln_pre.', 'vision_model.pre_layrnorm.'),
        ('visual.ln_post.', 'vision_model.post_layernorm.'),
        ('visual.transformer.resblocks.', 'vision_model.encoder.layers.'),
        ('token_embedding.', 'text_model.embeddings.token_embedding.'),
        ('transformer.resblocks.', 'text_model.encoder.layers.'),
        ('ln_final.', 'text_model.final_layer_norm.'),
    )  # fmt: skip
    out = {'text_model.embeddings.position_ids': torch.arange(LENGTH)}
    inner = (
        ('.ln_1.', '.layer_norm1.'), ('.ln_2.', '.layer_norm2.'),
        ('mlp.c_fc', 'mlp.fc1'), ('mlp.c_proj', 'mlp.fc2'),
        ('.attn.', '.self_attn.'),
    )  # fmt: skip
    whole = {
        'positional_embedding':
            'text_model.embeddings.position_embedding.weight',
        'visual.proj': 'visual_projection.weight',
        'text_projection': 'text_projection.weight',
    }  # fmt: skip
    for key, value in state.items():
        if key == 'context_length':
            continue
        for old, new in names:
            if key.startswith(old):
                key = new + key[len(old) :]
        for old, new in inner:
            key = key.replace(old, new)
        if whole.get(key, '').endswith('projection.weight'):
            value = value.t()
        key = whole.get(key, key)
        if 'in_proj_' in key:
            for letter, part in zip('qkv', value.chunk(3)):
                out[key.replace('in_proj_', f'{letter}_proj.')] = part
        else:
            out[key] = value
    return out


def block(state, prefix, x, mask=None):
    """A block of CLIP, written out; one head of 64."""

    def linear(y, name, mark='.'):
        key = f'{prefix}{name}{mark}'
        return F.linear(y, state[f'{key}weight'], state[f'{key}bias'])

    q, k, v = linear(
        norm(state, f'{prefix}ln_1', x), 'attn.in_proj', '_'
    ).chunk(3, -1)
    y = F.scaled_dot_product_attention(q, k, v, mask)
    x = x + linear(y, 'attn.out_proj')
    y = linear(norm(state, f'{prefix}ln_2', x), 'mlp.c_fc')
    return x + linear(y * torch.sigmoid(1.702 * y), 'mlp.c_proj')


def norm(state, name, x):
    weight, bias = state[f'{name}.weight'], state[f'{name}.bias']
    return F.layer_norm(x, (WIDTH,), weight, bias)


def reference_images(state, images):
    """CLIP's image embeddings, from OpenAI's names."""
    x = F.conv2d(images, state['visual.conv1.weight'], stride=PATCH)
    x = x.flatten(2).transpose(1, 2)
    first = state['visual.class_embedding'].expand(len(x), 1, -1)
    x = torch.cat([first, x], 1) + state['visual.positional_embedding']
    x = norm(state, 'visual.ln_pre', x)
    for n in range(DEPTH):
        x = block(state, f'visual.transformer.resblocks.{n}.', x)
    return norm(state, 'visual.ln_post', x[:, 0]) @ state['visual.proj']


def reference_texts(state, tokens):
    """CLIP's text embeddings, from OpenAI's names."""
    n = tokens.shape[1]
    x = state['token_embedding.weight'][tokens]
    x = x + state['positional_embedding'][:n]
    causal = torch.full((n, n), -torch.inf).triu(1)
    for layer in range(DEPTH):
        x = block(state, f'transformer.resblocks.{layer}.', x, causal)
    x = norm(state, 'ln_final', x)[torch.arange(len(x)), tokens.argmax(-1)]
    return x @ state['text_projection']


# 'This is a photo of a {label}' for cat, big_dog, zebra; 11 is the end.
TOKENS = torch.tensor(
    [
        [10, 1, 2, 3, 4, 5, 3, 6, 11, 0],
        [10, 1, 2, 3, 4, 5, 3, 7, 8, 11],
        [10, 1, 2, 3, 4, 5, 3, 9, 11, 0],
    ]
)
