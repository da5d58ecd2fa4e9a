# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""LoRA of peft in a network, without a word of peft in the config."""

import pytest
import torch
from torch import nn

from mask_plugins.registry import MODELS

LORA = dict(type='LoraConfig', r=2, target_modules=['conv1'])


def build(module, adapter):
    return MODELS.build(
        dict(type='mask_plugins.PeftModel', module=module, adapter=adapter)
    )


def test_only_the_adapter_is_trained_and_it_begins_as_the_network(tmp_path):
    pytest.importorskip('peft')
    net = dict(type='mmpretrain.ResNet', depth=18, base_channels=4,
               stem_channels=4)  # fmt: skip
    plain = MODELS.build(net)
    torch.save(plain.state_dict(), tmp_path / 'net.pth')
    init = dict(type='Pretrained', checkpoint=str(tmp_path / 'net.pth'))
    model = build(dict(net, init_cfg=init), LORA)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert all('lora_' in name for name in trained)
    images = torch.rand(2, 3, 32, 32)
    plain.train(), model.train()
    torch.testing.assert_close(model(images)[-1], plain(images)[-1])
    with pytest.raises(ValueError, match="peft has no config 'Lora'"):
        build(nn.Linear(2, 2), dict(type='Lora'))


def test_an_adapter_is_a_dict():
    with pytest.raises(TypeError, match='adapter'):
        build(nn.Linear(2, 2), 'LoraConfig')
