# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""CLIP checkpoints of three sources, small ones made here."""

import importlib.util
from functools import partial
from pathlib import Path

import mmpretrain
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mask_plugins.models.converters import convert_clip, text_tower_weights
from mask_plugins.models.converters.text_prototypes import (
    PROMPT,
    build_text_tower,
    write_prototypes,
)
from mask_plugins.utils.safe_load import read_checkpoint
from tests.common.clip_reference import (
    DEPTH,
    DIMS,
    SIZE,
    TOKENS,
    WIDTH,
    WORDS,
    openai_state,
    reference_images,
    reference_texts,
    to_hugging_face,
)
from tests.common.equal import assert_equal
from tests.common.tools import run_tool

TOOL = 'model_converters/clip_to_mask_plugins'
PROTOTYPES = 'model_converters/clip_prototypes'
CLASSES = ['cat', 'big_dog', 'zebra']
close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope='module')
def openai():
    return openai_state()


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
        assert_equal(found.state_dict, expected.state_dict)
        assert found.backbone == expected.backbone
        assert_equal(text_tower_weights(other), texts)
    # and the visual tower is what mmpretrain's converter makes of it
    for key, value in expected.state_dict.items():
        if key.startswith('backbone.'):
            assert value.equal(stock[key.replace('backbone.', 'visual.')])


def test_text_tower(openai):
    pytest.importorskip('transformers')
    tower = build_text_tower(text_tower_weights(openai))
    expected = reference_texts(openai, TOKENS)
    with torch.no_grad():
        found = tower(TOKENS).text_embeds
        short = tower(TOKENS[:1, :9]).text_embeds
    close(found, expected)
    # what is behind the end token does not matter
    close(short, expected[:1])


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


@pytest.fixture
def files(openai, tmp_path, monkeypatch):
    """Checkpoint, converted checkpoint and prototypes."""
    torch.save(to_hugging_face(openai), tmp_path / 'clip.pth')
    run_tool(monkeypatch, TOOL, tmp_path / 'clip.pth', tmp_path / 'visual.pth')
    texts, scale = reference_texts(openai, TOKENS), openai['logit_scale']
    write_prototypes(tmp_path / 'p.safetensors', texts, scale, CLASSES, PROMPT)
    return tmp_path


def test_prototypes_tool(files, openai, monkeypatch):
    pytest.importorskip('transformers')
    write_tokenizer(files / 'tokenizer.json')
    tool = partial(
        run_tool, monkeypatch, PROTOTYPES, files / 'clip.pth', files
    )
    tool(files / 'tool.safetensors', '--classes', *CLASSES)
    found = read_checkpoint(files / 'tool.safetensors')
    for name, value in read_checkpoint(files / 'p.safetensors').items():
        close(found[name], value)
    # A text that is too long ends with the end token.
    long = 'cat_dog_cat_dog_cat_dog'
    tool(files / 'long.safetensors', '--classes', long)
    tokens = torch.tensor([[10, 1, 2, 3, 4, 5, 3, 6, 8, 6, 8, 11]])
    found = read_checkpoint(files / 'long.safetensors')['prototypes']
    close(found, reference_texts(openai, tokens))


def build(files, num_classes=3, prototypes='p.safetensors'):
    init_default_scope('mmpretrain')
    scores = dict(type='mask_plugins.ScoreMask')
    state = torch.load(files / 'visual.pth', weights_only=True)
    pretrained = dict(type='Pretrained', checkpoint=str(files / 'visual.pth'))
    init = dict(pretrained, prefix='backbone.')
    layer = dict(state['meta']['backbone'], init_cfg=init)
    rules = [
        dict(pattern='*.attn.qkv.*', action='mask', chunks=3),
        ('*.attn.proj.*', 'mask'),
        ('*.ffn.*', 'mask'),
        ('*', 'freeze'),
    ]
    backbone = dict(type='mask_plugins.MaskedModel', module=layer)
    backbone.update(rules=rules, mask=scores)
    head = dict(
        type='mask_plugins.TextPrototypeClsHead',
        num_classes=num_classes,
        in_channels=WIDTH,
        embed_dims=DIMS,
        prototypes=str(files / prototypes),
        mask=scores,
        init_cfg=dict(pretrained, prefix='head.'),
    )
    model = dict(type='ImageClassifier', backbone=backbone, head=head)
    model = MODELS.build(model)
    model.init_weights()
    return model.eval()


def test_the_masked_classifier_is_clip_at_first(files, openai):
    """Scores of 1 mask nothing: the logits are those of zero-shot CLIP."""
    model = build(files)
    images = torch.randn(4, 3, SIZE, SIZE)
    x = F.normalize(reference_images(openai, images), dim=-1)
    t = F.normalize(reference_texts(openai, TOKENS), dim=-1)
    expected = openai['logit_scale'].exp() * x @ t.t()
    found = model(images)
    torch.testing.assert_close(found.detach(), expected, rtol=1e-3, atol=1e-4)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert all(name.endswith('scores') for name in trained)
    assert len(trained) == 8 * DEPTH + 1


def test_it_is_restored_without_the_files(files):
    model, other = build(files), build(files)
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
    with pytest.raises(ValueError, match=r'bad\.safetensors. is not a'):
        build(files, prototypes='bad.safetensors')
    # without prototypes the loss is NaN, not a plausible number
    init_default_scope('mmpretrain')
    head = dict(type='mask_plugins.TextPrototypeClsHead', in_channels=3)
    head = MODELS.build(dict(head, num_classes=2))
    assert head((torch.randn(1, 3),)).isnan().all()


def test_tools_tell_what_is_wrong(files, monkeypatch):
    pytest.importorskip('tokenizers')
    write_tokenizer(files / 'tokenizer.json')
    torch.save(dict(a=torch.ones(1)), files / 'other.pth')
    good = [files / 'clip.pth', files / 'tokenizer.json', files / 'q']
    classes = ['--classes', 'cat']
    for args, message in (
        (['x.pth', *good[1:], *classes], 'checkpoint not found'),
        ([good[0], 'x.json', 'q', *classes], 'tokenizer not found'),
        ([files / 'other.pth', *good[1:], *classes], 'other.pth.: not a CLIP'),
    ):
        with pytest.raises(SystemExit, match=message):
            run_tool(monkeypatch, PROTOTYPES, *args)
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
    # In OpenAI's archive an attribute, and not part of the state dict.
    holder.transformer.resblocks.attn_mask = torch.ones(2)
    torch.jit.script(holder).save(str(tmp_path / 'ViT-B-32.pt'))
    run_tool(monkeypatch, TOOL, tmp_path / 'ViT-B-32.pt', tmp_path / 'out.pth')
    found = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    expected = convert_clip(openai).state_dict
    assert_equal(found, {k: v.half().float() for k, v in expected.items()})
