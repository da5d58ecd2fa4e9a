# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""A toy runner: everything is mmengine's, only model and data are small."""

import copy
import functools
import itertools

import mmengine.runner.runner as runner_module
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

# It starts compilers to ask for their version: once is enough.
runner_module.collect_env = functools.lru_cache(runner_module.collect_env)


class ToyDataset(BaseDataset):
    """12 samples: x = index, y = 2 * index."""

    def __init__(self, **kwargs):
        # To serialize collects garbage, which takes longer than a run.
        super().__init__(serialize_data=False, **kwargs)

    def load_data_list(self):
        return [dict(x=float(i), y=2.0 * i) for i in range(12)]


class ToyModel(BaseModel):
    """One weight, and dropout so that randomness shows."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.drop = nn.Dropout(0.5)

    def forward(self, x, y, mode='tensor', **kwargs):
        x = torch.as_tensor(x, dtype=torch.float32)[:, None] / 12
        y = torch.as_tensor(y, dtype=torch.float32)[:, None] / 12
        out = self.linear(self.drop(x))
        if mode == 'loss':
            return dict(loss=(out - y).square().mean())
        return [dict(out=value.item()) for value in out]


class Scores(ToyModel):
    """Predicts scores as mmpretrain's heads do."""

    def forward(self, x, y, mode='tensor', **kwargs):
        if mode == 'loss':
            return super().forward(x, y, mode)
        outputs = []
        for value in x:
            sample = BaseDataElement()
            sample.pred_score = torch.tensor([0.2, 0.8])
            sample.gt_label = torch.tensor([int(value) % 2])
            outputs.append(sample)
        return outputs


class ToyMetric(BaseMetric):
    """The values it is told, one per validation."""

    default_prefix = 'toy'

    def __init__(self, values=(1.0, 3.0, 2.0, 4.0)):
        super().__init__()
        self.values = itertools.cycle(values)

    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        return dict(acc=next(self.values))


def build_runner(
    work_dir,
    hooks=(),
    checkpoint=None,
    epochs=2,
    loop='epoch',
    loader=None,
    dataset=None,
    sampler=None,
    metric=None,
    model=ToyModel,
    val_dataset=None,
    interval=1,
    accumulate=1,
    optimizer=None,
    default_hooks=None,
    **kwargs,
):
    """A Runner with 3 iterations per epoch and SafeCheckpointHook.

    In a process group it is one of its ranks. It has a test loop that is its
    validation loop.
    """
    length = dict(by_epoch=True, max_epochs=epochs)
    if loop == 'iter':
        length = dict(by_epoch=False, max_iters=3 * epochs)
    validation = dict(
        batch_size=4,
        num_workers=0,
        dataset=val_dataset or dict(type=ToyDataset),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    train = dict(
        validation,
        dataset=dataset or dict(type=ToyDataset),
        sampler=sampler or dict(type='DefaultSampler', shuffle=True),
    )
    evaluator = {'type': ToyMetric, **(metric or {})}
    options = dict(
        test_dataloader=copy.deepcopy(validation),
        test_evaluator=copy.deepcopy(evaluator),
        test_cfg=dict(),
        randomness=dict(seed=3),
    )
    if dist.is_initialized():
        wrapper = dict(type='MMDistributedDataParallel', device_ids=None)
        options.update(
            launcher='pytorch',
            cfg=Config(dict(model_wrapper_cfg=wrapper)),
            env_cfg=dict(dist_cfg=dict(backend='gloo')),
        )
    torch.set_num_threads(1)
    torch.manual_seed(0)  # models that are built are not seeded by mmengine
    return Runner(
        model=model(),
        work_dir=str(work_dir),
        train_dataloader={**train, **(loader or {})},
        val_dataloader=validation,
        val_evaluator=evaluator,
        train_cfg=dict(length, val_interval=interval),
        val_cfg=dict(),
        optim_wrapper=dict(
            optimizer=optimizer or dict(type='Adam', lr=0.1),
            accumulative_counts=accumulate,
        ),
        default_hooks=dict(
            checkpoint={
                'type': 'mask_plugins.SafeCheckpointHook',
                'interval': 1,
                **(checkpoint or {}),
            },
            **(default_hooks or {}),
        ),
        custom_hooks=list(hooks),
        experiment_name=_name(),
        **{**options, **kwargs},
    )


_count = 0


def _name():
    # mmengine keeps loggers and message hubs by name, over runs.
    global _count
    _count += 1
    return f'toy_{_count}'
