# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Files of each kind: how one is made, changed and read."""

import json
from pathlib import Path

import torch
import yaml
from mmengine.logging import HistoryBuffer, MessageHub
from safetensors.torch import save_file
from torch import nn

from mask_plugins.analysis.runs.run_comparison import ACCURACY, read_run
from mask_plugins.core.weights import (
    ScoreMask,
    apply_weight_masks,
    load_masks,
    pack_masks,
    write_adapter,
)
from mask_plugins.core.weights.adapter_content import content_hash
from mask_plugins.engine.checkpoint.plain_checkpoint import (
    from_plain,
    to_plain,
)
from mask_plugins.engine.checkpoint.resume import RUN_KEYS, check_checkpoint
from mask_plugins.models.gated_model import build_gated_model
from mask_plugins.sweeps import (
    SlurmOptions,
    make_manifest,
    read_manifest,
    read_spec,
)
from mask_plugins.utils.safe_load import read_checkpoint
from tests.evaluation.runs import write_run
from tests.reliability.mutations import mutate_bytes, mutate_value

HUB = dict(
    log_scalars={'train/loss': HistoryBuffer([1.0, 2.0], [1, 1])},
    runtime_info=dict(epoch=1, iter=4, max_epochs=2, max_iters=8),
    resumed_keys={'train/loss': True},
)
SCHEDULER = dict(_global_step=4, last_step=4, base_values=[0.1])


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()


def checkpoint():
    content = dict(
        meta=dict(epoch=1, iter=4, epoch_position=[0, 4], cfg='a = 1'),
        state_dict=dict(network().state_dict()),
        message_hub=HUB,
        optimizer=dict(state={}, param_groups=[dict(lr=0.1, params=[0])]),
        param_schedulers=[SCHEDULER],
    )
    to_plain(content)
    return content


def finite(tensors):
    return all(t.isfinite().all() for t in tensors if t.is_floating_point())


class Kind:
    """Write a sound file, change it in place, read it."""

    suffix, content = '', None

    def make(self, folder):
        folder.mkdir(exist_ok=True)
        self.path = folder / f'fuzzed{self.suffix}'
        self.write(self.content)

    def write(self, content):
        self.path.write_text(json.dumps(content))

    def change(self, rng, sound):
        if self.content is not None and rng.random() < 0.6:
            self.write(mutate_value(rng, self.content))
        else:
            self.path.write_bytes(mutate_bytes(rng, sound))


class Adapters(Kind):
    """Also with a right checksum around senseless content."""

    suffix = '.safetensors'

    def make(self, folder):
        self.path = folder / f'fuzzed{self.suffix}'
        net = network().requires_grad_(False)
        rules = [('*.weight', 'mask')]
        masked = apply_weight_masks(net, rules, ScoreMask)
        self.adapter = pack_masks(masked, info=dict(epoch=1))
        write_adapter(self.adapter, self.path)

    def change(self, rng, sound):
        if rng.random() < 0.4:
            self.path.write_bytes(mutate_bytes(rng, sound))
            return
        a = self.adapter
        parts = [a.settings, a.bases, a.info, a.masks, a.state]
        which = rng.randrange(5)
        parts[which] = mutate_value(rng, parts[which], which > 2)
        tensors = {
            f'{folder}/{key}': value.clone().contiguous()
            for folder, part in zip(('masks', 'state'), parts[3:])
            for key, value in part.items()
            if torch.is_tensor(value) and value.numel() < 1000
        }
        words = dict(
            zip(('masks', 'bases', 'info'), map(json.dumps, parts[:3])),
            format='mask_plugins.masks',
            version='1',
            base_sha256=a.base_sha256,
        )
        words['sha256'] = content_hash(tensors, words)
        save_file(tensors, self.path, words)

    def read(self):
        net = network().requires_grad_(False)
        before = {k: v.clone() for k, v in net.state_dict().items()}
        try:
            load_masks(net, self.path)
        except (OSError, TypeError, ValueError):
            after = net.state_dict()
            assert before.keys() == after.keys()
            assert all(before[k].equal(after[k]) for k in before)
            raise
        assert net(torch.ones(1, 3, 8, 8)).isfinite().all()


class Checkpoints(Kind):
    """Of `torch.save`, by the reader and by what precedes a resume."""

    suffix, options = '.pth', {}

    def make(self, folder):
        self.content = checkpoint()
        super().make(folder)

    def write(self, content):
        torch.save(content, self.path, **self.options)

    def change(self, rng, sound):
        if rng.random() < 0.6:
            self.write(mutate_value(rng, self.content, tensors=True))
        else:
            self.path.write_bytes(mutate_bytes(rng, sound))

    def read(self):
        errors = []
        try:
            read_checkpoint(self.path)
        except ValueError as error:
            errors.append(error)
        try:
            check_checkpoint(str(self.path), RUN_KEYS)
        except (ValueError, RuntimeError) as error:
            errors.append(error)
        else:  # what mmengine then does
            found = torch.load(self.path, weights_only=True)
            from_plain(found)
            hub = MessageHub('fuzzed')
            hub.load_state_dict(found['message_hub'])
        for error in errors:
            assert self.path.name in str(error)
        if errors:
            raise errors[0]


class Legacy(Checkpoints):
    """In the format of torch before 1.6."""

    options = dict(_use_new_zipfile_serialization=False)


class Manifests(Kind):
    """Of sweeps."""

    def make(self, folder):
        name = 'pss_vit-tiny_1xb16-baseline-30e_digits.py'
        spec = read_spec(name, {'train_cfg.max_epochs': [3, 5]}, [0, 1])
        make_manifest(spec, folder, SlurmOptions(partition='a'))
        self.path = folder / 'manifest.json'
        self.content = json.loads(self.path.read_text())

    def read(self):
        manifest = read_manifest(self.path)
        for run in manifest.runs:
            assert '..' not in Path(manifest.work_dir(run)).parts
            assert all(isinstance(x, str) for x in manifest.command(run))


class Sweeps(Kind):
    """The YAML of a sweep."""

    suffix = '.yaml'
    content = dict(
        name='a', base={'config': 'c.py', 'lr': 1}, grid={'x.y': [0.5, 1]},
        list=[{'k': [1, 2]}, {'k': None}], seeds=[0, 1],
        measured=dict(seconds_per_epoch=1.0, on='a machine'),
    )  # fmt: skip

    def make(self, folder):
        super().make(folder)
        (folder / 'c.py').write_text('lr = 1\n')

    def write(self, content):
        self.path.write_text(yaml.safe_dump(content))

    def read(self):
        spec = read_spec(self.path, {}, None)
        assert len(spec.points) < 10_000


class Rules(Kind):
    """Of gates."""

    suffix = '.json'
    content = dict(
        rules=[
            dict(pattern='0', action='gate', gate='exact', patch_size=4),
            dict(pattern='1', action='skip'),
        ]
    )

    def read(self):
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
        build_gated_model(net, place='conv', rules=self.path)


class Logs(Kind):
    """Of training, as JSON lines."""

    def make(self, folder):
        write_run(folder / 'run', epochs=2, config='lr = dict(a=[1])')
        self.path = folder / 'run' / 'train_log.json'
        lines = self.path.read_text().splitlines()
        self.content = [json.loads(line) for line in lines[:12]]

    def write(self, content):
        lines = ''.join(json.dumps(line) + '\n' for line in content)
        self.path.write_text(lines)

    def read(self):
        run = read_run(self.path.parent)
        run.done()
        run.value(ACCURACY)
        log = run.log
        parts = [log.epoch, log.hours, log.val_epoch, log.val_hours]
        assert [len(part) for part in parts] == [len(log.train)] * 2 + [2] * 2


class Configs(Logs):
    """What a run left of its config."""

    def make(self, folder):
        super().make(folder)
        self.path = folder / 'run' / 'recipe.py'
        self.content = None


KINDS = [
    Adapters,
    Checkpoints,
    Legacy,
    Manifests,
    Sweeps,
    Rules,
    Logs,
    Configs,
]
