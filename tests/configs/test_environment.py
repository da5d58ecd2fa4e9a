# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Recipes that take their data by an environment variable."""

import json

import pytest
import torch
import torchvision
from mmengine.config import Config
from PIL import Image

from .configs import LEAVES, find, heads, innermost, load, mim, read

PARTS = ('train', 'val', 'test')

CHOICES = dict(
    SMN_DATASET=dict(
        cifar10=10, cifar100=100, dtd=47, eurosat=10, flowers102=102,
        inatloc=500, pets=37, sun397=397, ucf101=101,
    ),
    HGSL_DATASET=dict(cub=100, cars=98, aircraft=50, flowers=51),
    CONTINUAL_TASKS={'2': 2, '5': 5, '10': 10},
)  # fmt: skip
RECIPES = [
    (path, variable)
    for path in LEAVES
    for variable in CHOICES
    if variable in path.read_text()
]


def test_all_networks_and_baselines_are_there():
    stems = {path.stem.rpartition('_')[0] for path, _ in RECIPES}
    for net in ('resnet18', 'resnet50', 'clip-vit-base-p32'):
        for kind in ('smn', 'finetune', 'linear-probe'):
            assert f'{kind}_{net}' in stems
    for net in ('resnet50', 'resnet101', 'vgg16', 'vit-base'):
        assert f'hgsl_{net}' in stems


@pytest.mark.parametrize(
    ('path', 'variable'), RECIPES, ids=[path.stem for path, _ in RECIPES]
)
def test_every_value(path, variable):
    defaults = 0
    for value, number in CHOICES[variable].items():
        cfg = read(path, **{variable: value})
        defaults += cfg.to_dict() == read(path).to_dict()
        assert cfg.work_dir.startswith(f'work_dirs/{path.stem}')
        assert value in cfg.work_dir[len(f'work_dirs/{path.stem}') :]
        data = [cfg[f'{part}_dataloader'].dataset for part in PARTS[::2]]
        if variable == 'CONTINUAL_TASKS':
            assert {dataset.tasks for dataset in data} == {number}
        else:
            inner = [leaf for dataset in data for leaf in innermost(dataset)]
            assert len({leaf.data_root for leaf in inner}) == 1
            if 'holdout' in path.stem:  # a fifth of the classes selects
                number = number * 4 // 5
            # Without labels there is no number of classes to state.
            stated = cfg.data_preprocessor.get('num_classes', number)
            assert stated == number
        for head in heads(cfg.model.head):
            if 'num_classes' in head:
                assert head.num_classes == cfg.data_preprocessor.num_classes
    assert defaults == 1


@pytest.mark.parametrize(
    ('base', 'value', 'message'),
    [
        ('smn_bs64_224', 'dogs', 'SMN_DATASET=dogs: choose from cifar10, '),
        ('retrieval_bs84', 'dogs', 'HGSL_DATASET=dogs: choose from cub, cars'),
        ('continual_cifar10', 'two', 'CONTINUAL_TASKS=two: give a number'),
        ('smn_swav_resnet50', 'moco', 'SMN_INIT=moco: choose from swav, dino'),
    ],
)  # fmt: skip
def test_an_unknown_name_says_which_there_are(base, value, message):
    with pytest.raises(ValueError, match=message):
        read(find(base), **{message.partition('=')[0]: value})


@pytest.mark.parametrize(
    ('name', 'variable', 'value'),
    [
        ('linear-probe_resnet18_1xb64-100e', 'SMN_DATASET', 'pets'),
        ('hgsl-retriever_resnet50_1xb84-100e', 'HGSL_DATASET', 'cars'),
        ('continual-lwf_resnet18_1xb128-30e_cifar10', 'CONTINUAL_TASKS', '5'),
    ],
)
def test_what_is_dumped_needs_no_variable(name, variable, value, tmp_path):
    """A run is resumed and tested from the config in its work_dir."""
    cfg = load(name, **{variable: value})
    cfg.dump(tmp_path / 'dumped.py')
    again = Config.fromfile(tmp_path / 'dumped.py')
    assert again.to_dict() == cfg.to_dict()


def test_shares_of_labels_and_initial_weights():
    for value, size in (('.25p', '.25p'), ('400', 400)):
        cfg = load('smn_resnet18_1xb64-150e', SMN_LABELS=value)
        assert cfg.train_dataloader.dataset.size == size
        assert cfg.work_dir.endswith(f'_cifar10_{value}')
    cfg = load('finetune-swav_resnet50_1xb64-150e', SMN_INIT='dino')
    init = cfg.model.backbone.module.init_cfg
    assert init.checkpoint == 'checkpoints/dino_resnet50.pth'


@pytest.mark.slow
def test_a_run_goes_on_without_the_variable(tmp_path):
    """Train with it; resume and test from the config in the work_dir."""
    root = tmp_path / 'data/oxford_pets'
    (root / 'images').mkdir(parents=True)
    Image.new('RGB', (40, 60), 'red').save(root / 'images/pet.jpg')
    rows = [['pet.jpg', label, f'breed {label}'] for label in range(37)]
    split = dict(train=rows[:20], val=rows[20:], test=rows)
    (root / 'split_zhou_OxfordPets.json').write_text(json.dumps(split))
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / 'r.pth')
    name = 'linear-probe_resnet18_1xb64-100e'
    options = [f'{part}_dataloader.num_workers=0' for part in PARTS]
    options.append('model.backbone.module.init_cfg.checkpoint=r.pth')
    options.append('train_cfg.max_epochs=1')
    mim('train', 'mmpretrain', find(name), '--cfg-options', *options,
        cwd=tmp_path, SMN_DATASET='pets')  # fmt: skip
    work_dir = tmp_path / 'work_dirs' / f'{name}_pets'
    dumped, checkpoint = work_dir / f'{name}.py', work_dir / 'epoch_2.pth'
    said = mim('train', 'mmpretrain', dumped, '--resume', '--cfg-options',
               'train_cfg.max_epochs=2', cwd=tmp_path)  # fmt: skip
    assert checkpoint.is_file()
    assert 'Epoch(train) [1]' not in said
    said = mim('test', 'mmpretrain', dumped, '--checkpoint', checkpoint,
               cwd=tmp_path)  # fmt: skip
    assert 'accuracy/top1' in said
