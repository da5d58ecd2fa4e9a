# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""CLIP checkpoints of three sources, small ones made here."""

import importlib.util
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import mmpretrain
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mask_plugins.models.clip_text_tower import CLIPTextTower, quick_gelu
from mask_plugins.models.converters import convert_clip, text_tower_weights

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'tools' / 'model_converters'
WIDTH, DEPTH, PATCH, SIZE, DIMS, LENGTH = 64, 2, 4, 8, 16, 12
WORDS = ['<pad>', 'this', 'is', 'a', 'photo', 'of', 'cat', 'big', 'dog',
         '<unk>', '<|startoftext|>', '<|endoftext|>']  # fmt: skip


def blocks(prefix):
    for n in range(DEPTH):
        name = f'{prefix}transformer.resblocks.{n}.'
        for key in ('ln_1', 'ln_2'):
            yield f'{name}{key}.weight', (WIDTH,)
            yield f'{name}{key}.bias', (WIDTH,)
        yield f'{name}attn.in_proj_weight', (3 * WIDTH, WIDTH)
        yield f'{name}attn.in_proj_bias', (3 * WIDTH,)
        yield f'{name}attn.out_proj.weight', (WIDTH, WIDTH)
        yield f'{name}attn.out_proj.bias', (WIDTH,)
        yield f'{name}mlp.c_fc.weight', (4 * WIDTH, WIDTH)
        yield f'{name}mlp.c_fc.bias', (4 * WIDTH,)
        yield f'{name}mlp.c_proj.weight', (WIDTH, 4 * WIDTH)
        yield f'{name}mlp.c_proj.bias', (WIDTH,)


@pytest.fixture(scope='module')
def openai():
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
        ('ln_final.', 'text_model.final_layer_norm.'),
    )  # fmt: skip
    out = {'text_model.embeddings.position_ids': torch.arange(LENGTH)}
    for key, value in state.items():
        if key == 'context_length':
            continue
        for old, new in names:
            if key.startswith(old):
                key = new + key[len(old) :]
        if key.startswith('transformer.resblocks.'):
            key = 'text_model.encoder.layers.' + key[22:]
        key = key.replace('.ln_1.', '.layer_norm1.').replace(
            '.ln_2.', '.layer_norm2.'
        )
        key = key.replace('mlp.c_fc', 'mlp.fc1').replace(
            'mlp.c_proj', 'mlp.fc2'
        )
        key = key.replace('.attn.', '.self_attn.')
        if key == 'positional_embedding':
            key = 'text_model.embeddings.position_embedding.weight'
        if key == 'visual.proj':
            key, value = 'visual_projection.weight', value.t()
        if key == 'text_projection':
            key, value = 'text_projection.weight', value.t()
        if 'in_proj_' in key:
            for letter, part in zip('qkv', value.chunk(3)):
                out[key.replace('in_proj_', f'{letter}_proj.')] = part
        else:
            out[key] = value
    return out


def mmpretrain_tool():
    """mmpretrain's own converter of OpenAI's names."""
    folder = Path(mmpretrain.__file__).parent / '.mim/tools/model_converters'
    path = folder / 'openai-clip_to_mmpretrain-clip.py'
    if not path.exists():
        pytest.skip('mmpretrain was installed without its tools')
    spec = importlib.util.spec_from_file_location('openai_clip', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.convert_clip


def test_three_sources_are_one(openai):
    expected, texts = convert_clip(openai), text_tower_weights(openai)
    stock = mmpretrain_tool()(openai)
    for other in (to_hugging_face(openai), stock):
        found = convert_clip(other)
        assert found.state_dict.keys() == expected.state_dict.keys()
        for key, value in expected.state_dict.items():
            assert found.state_dict[key].equal(value), key
        assert found.backbone == expected.backbone
        for key, value in text_tower_weights(other).items():
            assert value.equal(texts[key]), key
    # and the visual tower is what mmpretrain's converter makes of it
    for key, value in expected.state_dict.items():
        if key.startswith('backbone.'):
            assert value.equal(stock[key.replace('backbone.', 'visual.')])


class Attention(nn.Module):
    """A block of CLIP, written out."""

    def __init__(self, state, prefix):
        super().__init__()
        self.w = {
            key[len(prefix) :]: value
            for key, value in state.items()
            if key.startswith(prefix)
        }

    def forward(self, x, mask=None):
        w, c = self.w, x.shape[-1]

        def norm(y, name):
            return F.layer_norm(
                y, (c,), w[f'{name}.weight'], w[f'{name}.bias']
            )

        y = norm(x, 'ln_1') @ w['attn.in_proj_weight'].t()
        q, k, v = (y + w['attn.in_proj_bias']).chunk(3, -1)  # one head of 64
        y = F.scaled_dot_product_attention(q, k, v, mask)
        x = x + F.linear(y, w['attn.out_proj.weight'], w['attn.out_proj.bias'])
        y = quick_gelu(
            F.linear(norm(x, 'ln_2'), w['mlp.c_fc.weight'], w['mlp.c_fc.bias'])
        )
        return x + F.linear(y, w['mlp.c_proj.weight'], w['mlp.c_proj.bias'])


def reference_images(state, images):
    """CLIP's image embeddings, from OpenAI's names."""
    x = F.conv2d(images, state['visual.conv1.weight'], stride=PATCH)
    x = x.flatten(2).transpose(1, 2)
    first = state['visual.class_embedding'].expand(len(x), 1, -1)
    x = torch.cat([first, x], 1) + state['visual.positional_embedding']
    pre = state['visual.ln_pre.weight'], state['visual.ln_pre.bias']
    x = F.layer_norm(x, (WIDTH,), *pre)
    for n in range(DEPTH):
        x = Attention(state, f'visual.transformer.resblocks.{n}.')(x)
    post = state['visual.ln_post.weight'], state['visual.ln_post.bias']
    return F.layer_norm(x[:, 0], (WIDTH,), *post) @ state['visual.proj']


def reference_texts(state, tokens):
    """CLIP's text embeddings, from OpenAI's names."""
    n = tokens.shape[1]
    x = state['token_embedding.weight'][tokens]
    x = x + state['positional_embedding'][:n]
    causal = torch.full((n, n), -torch.inf).triu(1)
    for layer in range(DEPTH):
        x = Attention(state, f'transformer.resblocks.{layer}.')(x, causal)
    final = state['ln_final.weight'], state['ln_final.bias']
    x = F.layer_norm(x, (WIDTH,), *final)
    return (
        x[torch.arange(len(x)), tokens.argmax(-1)] @ state['text_projection']
    )


def test_text_tower(openai):
    tower = CLIPTextTower.from_weights(text_tower_weights(openai))
    tokens = torch.tensor([[10, 3, 6, 11, 0, 0], [10, 1, 2, 3, 8, 11]])
    expected = reference_texts(openai, tokens)
    torch.testing.assert_close(
        tower(tokens).detach(), expected, rtol=1e-4, atol=1e-5
    )
    # what is behind the end token does not matter
    short = tower(tokens[:1, :4]).detach()
    torch.testing.assert_close(short, expected[:1], rtol=1e-4, atol=1e-5)


def write_tokenizer(path):
    tokenizers = pytest.importorskip('tokenizers')
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(vocabulary, unk_token='<unk>')
    )
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single='<|startoftext|> $A <|endoftext|>',
        special_tokens=[('<|startoftext|>', 10), ('<|endoftext|>', 11)],
    )
    tokenizer.save(str(path))


def run_tool(monkeypatch, name, *args):
    monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
    runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')


@pytest.fixture
def files(openai, tmp_path, monkeypatch):
    """Checkpoint, converted checkpoint and prototypes, by the tools."""
    write_tokenizer(tmp_path / 'tokenizer.json')
    torch.save(to_hugging_face(openai), tmp_path / 'clip.pth')
    run_tool(
        monkeypatch, 'clip_to_mask_plugins',
        tmp_path / 'clip.pth', tmp_path / 'visual.pth',
    )  # fmt: skip
    run_tool(
        monkeypatch, 'clip_prototypes', tmp_path / 'clip.pth',
        tmp_path / 'tokenizer.json', tmp_path / 'p.safetensors',
        '--classes', 'cat', 'big_dog', 'zebra',
    )  # fmt: skip
    return tmp_path


def build(files, num_classes=3, prototypes='p.safetensors', mask=True):
    init_default_scope('mmpretrain')
    scores = dict(type='mask_plugins.ScoreMask')
    layer = dict(
        type='VisionTransformer',
        arch=dict(
            embed_dims=WIDTH,
            num_layers=DEPTH,
            num_heads=1,
            feedforward_channels=4 * WIDTH,
        ),
        img_size=SIZE,
        patch_size=PATCH,
        pre_norm=True,
        norm_cfg=dict(type='LN', eps=1e-5),
        layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU')),
        init_cfg=dict(
            type='Pretrained',
            checkpoint=str(files / 'visual.pth'),
            prefix='backbone.',
        ),
    )
    rules = [
        dict(pattern='*.attn.qkv.*', action='mask', chunks=3),
        ('*.attn.proj.*', 'mask'),
        ('*.ffn.*', 'mask'),
        ('*', 'freeze'),
    ]
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(
                type='mask_plugins.MaskedModel',
                module=layer,
                rules=rules,
                mask=scores,
            ),
            head=dict(
                type='mask_plugins.TextPrototypeClsHead',
                num_classes=num_classes,
                in_channels=WIDTH,
                embed_dims=DIMS,
                prototypes=str(files / prototypes),
                mask=scores if mask else None,
                init_cfg=dict(
                    type='Pretrained',
                    checkpoint=str(files / 'visual.pth'),
                    prefix='head.',
                ),
            ),
        )
    )
    model.init_weights()
    return model.eval()


def test_the_masked_classifier_is_clip_at_first(files, openai):
    """Scores of 1 mask nothing: the logits are those of zero-shot CLIP."""
    model = build(files)
    images = torch.randn(4, 3, SIZE, SIZE)
    unk = WORDS.index('<unk>')
    tokens = torch.tensor(
        [
            [10, 1, 2, 3, 4, 5, 3, 6, 11, 0],
            [10, 1, 2, 3, 4, 5, 3, 7, 8, 11],
            [10, 1, 2, 3, 4, 5, 3, unk, 11, 0],
        ]
    )
    x = F.normalize(reference_images(openai, images), dim=-1)
    t = F.normalize(reference_texts(openai, tokens), dim=-1)
    expected = openai['logit_scale'].exp() * x @ t.t()
    found = model(images)
    torch.testing.assert_close(found.detach(), expected, rtol=1e-3, atol=1e-4)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert all(name.endswith('scores') for name in trained)
    assert len(trained) == 8 * DEPTH + 1


def test_it_is_restored_without_the_files(files):
    model = build(files)
    other = build(files)
    other.head.prototypes.zero_()
    other.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, SIZE, SIZE)
    assert other(images).equal(model(images))


def test_what_does_not_fit(files):
    with pytest.raises(ValueError, match=r'shape \(3, 16\), the head needs'):
        build(files, num_classes=4)
    with pytest.raises(FileNotFoundError, match='clip_prototypes.py'):
        build(files, prototypes='nothing.safetensors')
    (files / 'bad.safetensors').write_bytes(b'x' * 50)
    with pytest.raises(ValueError, match='no safetensors file'):
        build(files, prototypes='bad.safetensors')
    # without prototypes the loss is NaN, not a plausible number
    init_default_scope('mmpretrain')
    head = MODELS.build(
        dict(
            type='mask_plugins.TextPrototypeClsHead',
            num_classes=2,
            in_channels=3,
        )
    )
    assert head((torch.randn(1, 3),)).isnan().all()


def test_tools_tell_what_is_wrong(files, monkeypatch, tmp_path):
    def error_of(*args):
        with pytest.raises(SystemExit) as info:
            run_tool(monkeypatch, 'clip_prototypes', *args)
        return str(info.value)

    good = [files / 'clip.pth', files / 'tokenizer.json', files / 'q']
    classes = ['--classes', 'cat']
    assert 'no checkpoint' in error_of('x.pth', *good[1:], *classes)
    assert 'no tokenizer at' in error_of(good[0], 'x.json', 'q', *classes)
    said = error_of(*good, *classes, '--prompt', 'a photo')
    assert "must contain '{label}'" in said
    torch.save(dict(a=torch.ones(1)), tmp_path / 'other.pth')
    said = error_of(tmp_path / 'other.pth', *good[1:], *classes)
    assert 'no CLIP with a vision transformer' in said
    assert not (files / 'q').exists()


def test_openai_archive_is_read(openai, tmp_path, monkeypatch):
    """OpenAI publishes TorchScript in half precision."""

    class Holder(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    holder = Holder()
    for key, value in openai.items():
        inner = holder
        *path, leaf = key.split('.')
        for name in path:
            if not hasattr(inner, name):
                inner.add_module(name, Holder())
            inner = getattr(inner, name)
        inner.register_buffer(
            leaf, value.half() if value.is_floating_point() else value
        )
    torch.jit.script(holder).save(str(tmp_path / 'ViT-B-32.pt'))
    run_tool(
        monkeypatch, 'clip_to_mask_plugins',
        tmp_path / 'ViT-B-32.pt', tmp_path / 'out.pth',
    )  # fmt: skip
    found = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    for key, value in convert_clip(openai).state_dict.items():
        assert found[key].dtype == torch.float32
        assert found[key].equal(value.half().float()), key


def test_text_tower_is_mmpretrains(openai, monkeypatch):
    from mmpretrain.registry import MODELS as STOCK

    if 'ask_install' in str(STOCK.get('CLIPZeroShot')):
        # Without transformers there are placeholders, for the tokenizer.
        monkeypatch.delitem(STOCK._module_dict, 'CLIPZeroShot')
    from mmpretrain.models.multimodal.clip.clip import CLIP
    from mmpretrain.models.multimodal.clip.clip_transformer import (
        CLIPTransformer,
    )

    mask = torch.full((LENGTH, LENGTH), -torch.inf).triu(1)
    transformer = CLIPTransformer(WIDTH, DEPTH, 1, mask)
    prefix = 'transformer.'
    transformer.load_state_dict(
        {
            key[len(prefix) :]: value
            for key, value in openai.items()
            if key.startswith(prefix)
        }
    )
    final = nn.LayerNorm(WIDTH)
    final.weight.data = openai['ln_final.weight']
    final.bias.data = openai['ln_final.bias']
    stock = SimpleNamespace(
        token_embedding=lambda t: openai['token_embedding.weight'][t],
        positional_embedding=openai['positional_embedding'],
        transformer=transformer,
        ln_final=final,
        text_projection=openai['text_projection'],
    )
    tokens = torch.zeros(1, LENGTH, dtype=torch.long)
    tokens[0, :4] = torch.tensor([10, 3, 6, 11])
    tower = CLIPTextTower.from_weights(text_tower_weights(openai))
    torch.testing.assert_close(
        tower(tokens), CLIP.extract_text_feat(stock, tokens),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip
