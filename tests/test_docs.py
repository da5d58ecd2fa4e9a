# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""The pages build without a warning, and what they tell to type exists."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mask_plugins.apis.find_config import find_config

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(ROOT.glob('docs/**/*.md')) + [ROOT / 'README.md']
TYPED = [page for page in PAGES if 'measurements' not in page.parts]
NAMES = [str(page.relative_to(ROOT)) for page in TYPED]
RUN = ('docs/guides/write_your_own.md', 'docs/guides/plain_pytorch.md')


def blocks(page, language):
    text = page.read_text(encoding='utf-8')
    return re.findall(rf'```{language}\n(.*?)```', text, re.S)


def commands(page):
    """The command lines of a page, as lists of words."""
    for block in blocks(page, 'bash'):
        values = dict(re.findall(r'^(\w+)=(\S+)$', block, re.M))
        block = block.replace('\\\n', ' ')
        for line in block.splitlines():
            for name, value in values.items():
                line = re.sub(rf'\$(\{{{name}\}}|{name}\b)', value, line)
            yield shlex.split(line, comments=True)


@pytest.mark.parametrize('page', TYPED, ids=NAMES)
def test_named_configs_exist(page):
    """``mim train mask_plugins NAME.py`` and tools given a basename."""
    missing = []
    for words in commands(page):
        for word in words:
            ours = re.fullmatch(r'[\w.-]+_[\w.-]+\.(py|yaml)', word)
            if not ours or word.startswith('my_') or '$' in word:
                continue
            try:
                find_config(word)
            except FileNotFoundError:
                missing.append(word)
    assert missing == []


@pytest.mark.parametrize('page', TYPED, ids=NAMES)
def test_tools_have_the_options_that_pages_name(page):
    for words in commands(page):
        tools = [w for w in words if re.fullmatch(r'(tools|demo)/.*\.py', w)]
        if not tools or words[0] not in ('python', 'torchrun'):
            continue
        start = words.index(tools[0])
        options = {w for w in words[start:] if w.startswith('--')}
        if not options or 'sweep.py' in tools[0] or 'cascade' in tools[0]:
            continue
        done = subprocess.run(
            [sys.executable, ROOT / tools[0], '--help'],
            capture_output=True,
            text=True,
            check=True,
        )
        unknown = {x for x in options if x not in done.stdout}
        assert unknown == set(), tools[0]


@pytest.mark.parametrize('name', RUN)
def test_python_of_the_pages_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks(ROOT / name, 'python')
    assert found
    for code in found:
        exec(code, {})


@pytest.mark.slow
def test_the_config_for_own_images_trains(tmp_path):
    """The folder is made, and both configs of the page run for an epoch."""
    page = ROOT / 'docs' / 'guides' / 'own_data.md'
    make_folder, config, _ = blocks(page, 'python')
    small = make_folder.replace('enumerate(Digits(', 'enumerate(few(')
    few = 'def few(*a, **k):\n    return list(Digits(*a, **k))[:80]\n'
    start = small.index('for split')
    script = tmp_path / 'make.py'
    script.write_text(small[:start] + few + small[start:])
    (tmp_path / 'my_images.py').write_text(config)
    subprocess.run([sys.executable, script], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, ROOT / 'tools/train.py', 'my_images.py', '--quiet']
        + [
            '--no-persistent-workers',
            '--cfg-options',
            'train_cfg.max_epochs=1',
        ]
        + ['param_scheduler.warmup=0'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert 'epoch 1/1' in done.stdout, done.stderr
    assert (tmp_path / 'work_dirs/my_images/epoch_1.pth').exists()


def test_pretrained_weights_are_masked_as_they_were_measured():
    """At other settings this network ends at chance."""
    page = ROOT / 'docs' / 'guides' / 'own_data.md'
    scope = dict(num_classes=10)
    exec(blocks(page, 'python')[-1], scope)
    name = 'smn_efficientnet-lite0_1xb64-4e_cifar10-reduced.py'
    measured = Config.fromfile(find_config(name))
    backbone = scope['model']['backbone']
    assert backbone['rules'] == measured.model.backbone.rules
    mask = dict(measured.model.backbone.mask)
    assert mask.pop('threshold') == 0  # the default
    assert backbone['mask'] == mask
    for key in ('constructor', 'optimizer', 'paramwise_cfg'):
        assert scope['optim_wrapper'][key] == measured.optim_wrapper[key]
    assert scope['custom_hooks'][-1] in measured.custom_hooks


@pytest.mark.slow
def test_pages_build_without_a_warning(tmp_path):
    pytest.importorskip('sphinx', reason='see requirements/docs.txt')
    options = ['-q', '-W', '--keep-going', '-b', 'html', '-d', tmp_path / 'd']
    done = subprocess.run(
        [sys.executable, '-m', 'sphinx', *options, 'docs', tmp_path / 'html'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / 'html' / 'methods' / 'pss.html').read_text()
    assert 'Patch Sampling Schedules' in page  # the README is put in
    types = (tmp_path / 'html' / 'reference' / 'types.html').read_text()
    assert 'TokenSampler' in types
    assert 'class="xref myst"' not in page
