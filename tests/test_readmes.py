# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What the READMEs point to is there, and their snippets have an effect."""

import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn
from torchvision.models import resnet18

import mask_plugins as mp

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *sorted(ROOT.glob('*.md')),
    *sorted(ROOT.glob('docs/**/*.md')),
    *sorted(ROOT.glob('configs/*/README.md')),
    *sorted(ROOT.glob('tools/*/README.md')),
    *sorted(ROOT.glob('demo/*/README.md')),
]
OWN = 'docs/guides/own_config.md'
BASE = "_base_ = ['mmpretrain::resnet/resnet18_8xb16_cifar10.py']\n"
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]


@pytest.mark.parametrize('path', PAGES, ids=NAMES)
def test_links_and_pictures_exist(path):
    text = path.read_text(encoding='utf-8')
    links = re.findall(r'\]\(([^)#\s]+)\)', text)
    links += re.findall(r'^\[[^\]]+\]: (\S+)$', text, re.M)
    local = [link for link in links if '://' not in link]
    assert [x for x in local if not (path.parent / x).exists()] == []


@pytest.mark.parametrize('path', PAGES, ids=NAMES)
def test_files_in_commands_exist(path):
    text = path.read_text(encoding='utf-8')
    named = re.findall(
        r'\b(?:tools|configs|demo)/(?:[\w/.-]|\$\{\w+\})+\.py\b', text
    )
    # What stands for a name in a loop of a shell may be anything.
    named = {re.sub(r'\$\{\w+\}', '*', name) for name in named}
    assert [x for x in named if not any(ROOT.glob(x))] == []


# ---------------------------------------------------------------- snippets
def snippet(start, page='README.md'):
    """The first block of Python on a page that contains ``start``."""
    text = (ROOT / page).read_text(encoding='utf-8')
    blocks = re.findall(r'```python\n(.*?)```', text, re.S)
    return next(block for block in blocks if start in block)


def short_run(tmp_path, code, size, num_classes):
    """A run of two iterations of a config of a page, on digits."""
    path = tmp_path / 'my_config.py'
    path.write_text(code)
    cfg = Config.fromfile(path)
    cfg.work_dir = str(tmp_path / 'work')
    cfg.train_cfg.max_epochs = 1
    cfg.data_preprocessor.num_classes = num_classes
    digits = dict(type='mask_plugins.Digits', image_size=size, indices=4)
    cfg.train_dataloader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(digits, pipeline=[dict(type='PackInputs')]),
    )
    cfg.param_scheduler = None
    for name in ('val', 'test'):
        cfg[f'{name}_dataloader'] = cfg[f'{name}_evaluator'] = None
        cfg[f'{name}_cfg'] = None
    return cfg


def losses_of(cfg):
    """The runner after training, and the losses of its iterations."""
    runner = Runner.from_cfg(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars['train/loss']
    return runner, list(scalars.data[0])


def test_tokens_are_dropped_on_the_schedule(tmp_path):
    code = snippet("type='mask_plugins.TokenSampler'")
    cfg = short_run(tmp_path, code, 224, 1000)
    assert 'patch_size' not in cfg.model.backbone
    seen = []
    runner = Runner.from_cfg(cfg)
    backbone = runner.model.backbone
    backbone.layers[0].register_forward_hook(
        lambda module, args, out: seen.append(out.shape[1])
    )
    runner.train()
    # Of 196 patches and the cls token; the drop ratio starts at 0.8.
    assert seen[0] == 39
    path = tmp_path / 'work' / 'epoch_1.pth'
    assert torch.load(path, weights_only=True)['meta']['epoch'] == 1


def test_the_guide_has_the_same_lines():
    start = "type='mask_plugins.TokenSampler'"
    assert snippet(start, OWN) == snippet(start)


def test_binary_masks_switch_weights_off(tmp_path):
    code = snippet("type='mask_plugins.MaskedModel'", OWN)
    cfg = short_run(tmp_path, code, 32, 10)
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.train()
    report = mp.mask_report(runner.model)
    assert 0 < report.density < 1
    after = runner.model.state_dict()
    frozen = [k for k in before if k.endswith('conv1.weight')]
    assert frozen
    assert all(torch.equal(before[k], after[k]) for k in frozen)


def test_a_scheduled_value_changes_the_loss(tmp_path):
    """Label smoothing: a schedule that nothing reads would change nothing."""
    smooth = dict(type='LabelSmoothLoss', label_smooth_val=0.1)
    found = []
    for code in (BASE, BASE + snippet('mask_plugins.ScheduleHook', OWN)):
        cfg = short_run(tmp_path, code, 32, 10)
        cfg.model.head.loss = smooth
        cfg.randomness = dict(seed=0)
        cfg.work_dir = str(tmp_path / f'work{len(found)}')
        found.append(losses_of(cfg)[1])
    plain, scheduled = found
    assert plain != scheduled


def test_features_are_measured(tmp_path):
    code = snippet('FeatureHook', 'docs/features.md')
    evaluators = Config.fromstring(code, '.py').val_evaluator
    cfg = short_run(tmp_path, code, 32, 10)
    loader = dict(cfg.train_dataloader, batch_size=4)
    cfg.train_dataloader = cfg.val_dataloader = loader
    cfg.val_cfg = dict()
    evaluators[-1].k = 2
    cfg.val_evaluator = evaluators
    cfg.custom_hooks[1].interval = 1
    runner = losses_of(cfg)[0]
    scalars = runner.message_hub.log_scalars
    names = ('rankme/rank', 'knn/top1', 'probe/top1', 'accuracy/top1')
    assert {f'val/{name}' for name in names} <= set(scalars)
    assert scalars['train/rank'].current() > 0


def test_four_lines_make_a_run_resumable(tmp_path):
    """Killed and resumed it ends as one that was not."""
    code = BASE + snippet('SeedSample', 'docs/resume.md')
    found = []
    for epochs in ((2,), (1, 2)):
        cfg = short_run(tmp_path, code, 32, 10)
        cfg.work_dir = str(tmp_path / f'work{len(found)}')
        pipeline = cfg.train_dataloader.dataset.pipeline
        pipeline.insert(0, dict(type='RandomFlip', prob=0.5))
        pipeline.insert(0, cfg.pop('seed_sample'))
        for max_epochs in epochs:
            cfg.train_cfg = dict(by_epoch=True, max_epochs=max_epochs)
            cfg.resume = max_epochs > 1 and len(epochs) > 1
            cfg.experiment_name = f'run{len(found)}-{max_epochs}'
            runner = losses_of(cfg)[0]
        found.append(runner.model.state_dict())
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_masked_features_are_trained(tmp_path):
    page = 'configs/masked_feature/README.md'
    code = snippet('MaskedFeatureHead', page)
    code = code.replace('_base_.custom_hooks + ', '')
    code = code.replace('in_channels=320', 'in_channels=512')
    cfg = short_run(tmp_path, BASE + code, 32, 10)
    cfg.model.teacher.begin = 0
    cfg.model.head.head.loss = dict(type='CrossEntropyLoss')
    runner = losses_of(cfg)[0]
    names = set(runner.message_hub.log_scalars)
    assert len([n for n in names if n.startswith('train/loss')]) > 1


def test_patch_gates_in_plain_pytorch():
    model = resnet18(num_classes=2)
    frame = torch.randn(1, 3, 64, 64)
    scope = dict(model=model, frames=[frame, frame])
    exec(snippet('apply_patch_gates', 'configs/pass/README.md'), scope)
    skipped = {n.split('.')[0] for n in mp.gated_layers(model)}
    assert skipped == {'conv1', 'layer1', 'layer2', 'layer3'}
    dense = mp.remove_patch_gates(model)(frame)
    torch.testing.assert_close(scope['output'], dense, rtol=1e-4, atol=1e-4)


def test_masks_in_plain_pytorch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = dict(
        conv=nn.Conv2d(3, 4, 3), pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(), fc=nn.Linear(4, 2),
    )  # fmt: skip
    model = nn.Sequential(OrderedDict(layers))
    stock = {module: type(module) for module in model.modules()}

    lines = snippet('mp.apply_weight_masks').split('mp.pack_masks')
    scope = dict(model=model)
    exec(lines[0], scope)
    with torch.no_grad():
        next(iter(mp.named_masks(model))).mask.scores[0] = -1
    x = torch.randn(2, 3, 5, 5)
    masked = model(x)
    exec('mp.pack_masks' + lines[1], scope)
    assert (tmp_path / 'flowers.safetensors').stat().st_size > 0
    assert {module: type(module) for module in model.modules()} == stock
    torch.testing.assert_close(model(x), masked)
    assert not model.conv.weight[0].any()


def test_the_readme_fits_a_screen():
    lines = (ROOT / 'README.md').read_text(encoding='utf-8').splitlines()
    assert len(lines) <= 100
    assert max(map(len, lines)) <= 100
