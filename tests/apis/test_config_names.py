# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Which file a name means, and keys that nothing reads."""

import warnings

import pytest
from mmengine.config import Config

from mask_plugins.apis.config_keys import check_options
from mask_plugins.apis.find_config import find_config
from tests.small_run import NAME, QUICKSTART


@pytest.mark.parametrize(
    'name', [NAME, f'mask_plugins::pss/{NAME}', QUICKSTART]
)
def test_names_of_one_config(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert QUICKSTART.samefile(find_config(name))


def test_a_path_is_left_as_it_is():
    """Whoever opens it says what lies in its folder."""
    assert find_config('nowhere/a.py') == 'nowhere/a.py'


def test_a_file_comes_before_a_config_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).write_text('')
    assert find_config(NAME) == NAME


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        (NAME.replace('tiny', 'tinny'), f'near names: .*{NAME}'),
        ('mask_plugins::pss/x.py', 'no file mask_plugins::pss/x.py'),
        ('no_such_package::a.py', 'no_such_package is not installed'),
        ('*.py', 'no config of this name'),
    ],
)
def test_a_name_of_none_is_an_error(name, message):
    with pytest.raises(FileNotFoundError, match=message):
        find_config(name)


def test_near_names_are_of_the_working_folder_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'my_images.py').write_text('')
    with pytest.raises(FileNotFoundError, match='near names: my_images.py'):
        find_config('my_image.py')


CONFIG = Config.fromstring(
    """
base_lr, image_size, half = 5e-4, 8, 4
pipeline = [dict(type='Resize', scale=image_size)]
optim_wrapper = dict(optimizer=dict(lr=base_lr, betas=(0.9, 0.99)))
train_dataloader = dict(dataset=dict(pipeline=pipeline))
model = dict(backbone=dict(img_size=image_size))
""",
    '.py',
)


@pytest.mark.parametrize(
    ('key', 'places'),
    [
        ('base_lr', 'set optim_wrapper.optimizer.lr$'),
        ('image_size', 'model.backbone.img_size or train_dataloader'),
        ('pipeline.0.scale', 'set train_dataloader.dataset.pipeline.0.scale'),
    ],
)
def test_a_variable_that_is_used_up_is_refused(key, places):
    with pytest.raises(ValueError, match=f'{key}.* is a variable.*{places}'):
        check_options(CONFIG, {key: 1})


@pytest.mark.parametrize(
    ('key', 'message'),
    [
        ('randomnes.seed', 'near names: randomness'),
        ('zzz', "nothing reads 'zzz'$"),
        ('half', "'half' is a variable of the config file"),
    ],
)
def test_a_key_that_perhaps_a_hook_reads_warns(key, message):
    with pytest.warns(UserWarning, match=message):
        check_options(CONFIG, {key: 1})


def test_keys_that_are_read_pass():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check_options(CONFIG, None)
        keys = (
            'optim_wrapper.optimizer.lr', 'randomness.seed',
            'custom_hooks.0.x', 'auto_scale_lr.enable',
        )  # fmt: skip
        check_options(CONFIG, dict.fromkeys(keys, 1))
