# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the READMEs point to is there."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

from mask_plugins.registry import HOOKS

ROOT = Path(__file__).resolve().parents[1]
READMES = [
    ROOT / 'README.md',
    *sorted(ROOT.glob('configs/*/README.md')),
    *sorted(ROOT.glob('tools/*/README.md')),
]
NAMES = [str(path.relative_to(ROOT)) for path in READMES]


@pytest.mark.parametrize('path', READMES, ids=NAMES)
def test_links_and_pictures_exist(path):
    text = path.read_text(encoding='utf-8')
    links = re.findall(r'\]\(([^)#\s]+)\)', text)
    local = [link for link in links if '://' not in link]
    assert [x for x in local if not (path.parent / x).exists()] == []


@pytest.mark.parametrize('path', READMES, ids=NAMES)
def test_files_in_commands_exist(path):
    text = path.read_text(encoding='utf-8')
    named = re.findall(r'\b(?:tools|configs|demo)/[\w/.-]+\.py\b', text)
    assert [x for x in named if not (ROOT / x).exists()] == []


def test_the_config_of_the_readme_trains_what_it_says(tmp_path):
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    snippet = re.search(r'```python\n(_base_ = .*?)```', text, re.S)[1]
    path = tmp_path / 'my_config.py'
    path.write_text(snippet)
    cfg = Config.fromfile(path)
    assert cfg.model.backbone.type == 'mask_plugins.TokenSampler'
    assert 'patch_size' not in cfg.model.backbone
    hook = HOOKS.build(cfg.custom_hooks[0])
    assert hook.target == 'backbone.drop_ratio'
