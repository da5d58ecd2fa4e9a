# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What each step of a cascade does."""

import io
import os
import os.path as osp
import subprocess
import sys
from typing import Any, Dict, List, Sequence

import torch
from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint
from torch import nn

from mask_plugins.apis.features import load_feature_model
from mask_plugins.core.weights import (
    base_state,
    pack_masks,
    read_adapter,
    write_adapter,
)
from mask_plugins.engine.checkpoint.run_state import DONE, read_state
from mask_plugins.functional.combine import fit_combination
from mask_plugins.functional.knn import knn_predict
from mask_plugins.functional.linear_probe import LinearProbe
from mask_plugins.utils.files import read_json, write_atomically, write_json
from mask_plugins.utils.safe_load import read_checkpoint
from mask_plugins.utils.tensor_files import read_tensors, write_tensors

from .cluster import (
    cluster_measures,
    fit_clusters,
    read_clusters,
    write_clusters,
)
from .cluster_picture import save_cluster_picture
from .experts import check_sizes, expert_config
from .feature_files import read_features, write_features
from .plan import Step
from .settings import CascadeSettings

CHECKPOINT = 'last.pth'
COMBINED = 'combined features'
Folders = Dict[str, str]


class Cascade:
    """The steps of a cascade, for a :class:`Plan`.

    Args:
        settings (CascadeSettings): What was asked for.
        tools (str): The folder ``tools``, whose ``train.py`` and
            ``slurm/sweep.py`` train.
        train_experts (Sequence[str]): Arguments for ``sweep.py``: ``run -j
            2``, or ``submit`` and its options. Defaults to ``('run',)``.
        device (str, optional): For features and probes. Defaults to None, a
            GPU if there is one.

    Examples:
        >>> name = 'smn-swav_resnet18-narrow_1xb64-30e_digits.py'
        >>> cascade = Cascade(CascadeSettings(name), 'tools')
        >>> [step.name for step in cascade.steps()][:3]
        ['dispatcher', 'clusters', 'experts']
    """

    def __init__(
        self,
        settings: CascadeSettings,
        tools: str,
        train_experts: Sequence[str] = ('run',),
        device: Any = None,
    ) -> None:
        self.settings = settings
        self.tools = tools
        self.train_experts = list(train_experts)
        self.device = device
        self.cfg = settings.config()

    def steps(self) -> List[Step]:
        """All steps, in order."""
        one = self.settings
        text = self.cfg.pretty_text
        mixture = one._asdict()
        asked = {k: mixture[k] for k in ('clusters', 'components', 'seed')}
        return [
            Step('dispatcher', dict(config=text), self._train_dispatcher),
            Step(
                'clusters', dict(asked, reg_covar=one.reg_covar), self._cluster
            ),
            Step('experts', {}, self._train_experts),
            Step('features', {}, self._embed),
            Step('combined', dict(methods=list(one.methods)), self._combine),
            Step('results', dict(k=one.k), self._evaluate),
        ]

    # ------------------------------------------------------------ the steps
    def _train_dispatcher(self, folders: Folders) -> List[str]:
        folder = folders['dispatcher']
        config = _dump(self.cfg, osp.join(folder, 'dispatcher.py'))
        self._call(
            'train.py', config, '--work-dir', osp.join(folder, 'run'),
            '--resume',
        )  # fmt: skip
        _keep_last(osp.join(folder, 'run'), folder)
        return [CHECKPOINT]

    def _cluster(self, folders: Folders) -> List[str]:
        folder, one = folders['clusters'], self.settings
        features = osp.join(folder, 'dispatcher.safetensors')
        write_features(self.cfg, self._dispatcher(folders), features)
        found = read_features(features)
        clusters = fit_clusters(
            found, one.clusters, one.components, one.seed, one.reg_covar
        )
        check_sizes(clusters.sizes, self.cfg.train_dataloader.batch_size)
        write_clusters(clusters, osp.join(folder, 'clusters.safetensors'))
        measures = dict(
            cluster_measures(clusters, found.train_labels),
            sizes=clusters.sizes,
        )
        write_json(osp.join(folder, 'clusters.json'), measures)
        picture = osp.join(folder, 'clusters.png')
        save_cluster_picture(self.cfg, clusters, found, picture)
        return ['dispatcher.safetensors', 'clusters.safetensors']

    def _train_experts(self, folders: Folders) -> List[str]:
        folder = folders['experts']
        path = osp.join(folders['clusters'], 'clusters.safetensors')
        sizes = read_clusters(path).sizes
        lines = ['name: experts', f'seeds: [{self.settings.seed}]', 'grid:',
                 '  expert:']  # fmt: skip
        for index, size in enumerate(sizes):
            cfg = expert_config(
                self.cfg,
                osp.abspath(osp.join(folders['dispatcher'], CHECKPOINT)),
                osp.abspath(path),
                index,
                size,
                sum(sizes),
            )
            name = f'expert_{index}.py'
            _dump(cfg, osp.join(folder, name))
            lines.append(f"    '{index}': {{config: ./{name}}}")
        sweep = osp.join(folder, 'experts.yaml')
        write_atomically(sweep, '\n'.join(lines) + '\n')
        command, *options = self.train_experts
        runs = osp.join(folder, 'sweep')
        self._call('slurm/sweep.py', command, sweep, '--out', runs, *options)
        files = []
        for index in range(len(sizes)):
            run = f'expert-{index}_seed-{self.settings.seed}'
            _keep_last(
                osp.join(runs, 'runs', run), folder, f'expert_{index}.pth'
            )
            files.append(f'expert_{index}.pth')
        return files

    def _embed(self, folders: Folders) -> List[str]:
        folder, files = folders['features'], []
        for name, checkpoint in self._checkpoints(folders).items():
            model = self._model(checkpoint)
            write_adapter(
                pack_masks(model.backbone),
                osp.join(folder, f'{name}_adapter.safetensors'),
            )
            path = osp.join(folder, f'{name}.safetensors')
            write_features(self.cfg, model, path)
            files.append(f'{name}.safetensors')
        return files

    def _combine(self, folders: Folders) -> List[str]:
        folder, files = folders['combined'], []
        clusters = read_clusters(
            osp.join(folders['clusters'], 'clusters.safetensors')
        )
        parts = [
            read_features(osp.join(folders['features'], f'{name}.safetensors'))
            for name in self._checkpoints(folders)
        ]
        train = [part.train for part in parts]
        test = [part.test for part in parts]
        for method in self.settings.methods:
            combine = fit_combination(train, clusters.train, method)
            tensors = dict(
                train=combine(train, clusters.train),
                test=combine(test, clusters.test),
                train_labels=parts[0].train_labels,
                test_labels=parts[0].test_labels,
            )
            if combine.projection is not None:
                tensors.update(
                    mean=combine.mean, projection=combine.projection
                )
            name = f'{method}.safetensors'
            write_tensors(osp.join(folder, name), COMBINED, tensors)
            files.append(name)
        return files

    def _evaluate(self, folders: Folders) -> List[str]:
        folder, rows = folders['results'], []
        for method in self.settings.methods:
            path = osp.join(folders['combined'], f'{method}.safetensors')
            x = read_tensors(path, COMBINED).tensors
            bank = x['train'], x['train_labels']
            found = knn_predict(x['test'], *bank, self.settings.k)[:, 0]
            knn = (found == x['test_labels']).double().mean()
            probe = LinearProbe().fit(*bank)
            rows.append(
                dict(
                    method=method,
                    dims=x['train'].shape[1],
                    knn_top1=100 * float(knn),
                    probe_top1=probe.accuracy(x['test'], x['test_labels']),
                )
            )
        names = list(self._checkpoints(folders))
        sizes = {
            name: osp.getsize(
                osp.join(folders['features'], f'{name}_adapter.safetensors')
            )
            for name in names
        }
        base = sum(
            value.numel() * value.element_size()
            for value in base_state(
                self._dispatcher(folders).backbone
            ).values()
        )
        clusters = osp.join(folders['clusters'], 'clusters.json')
        write_json(
            osp.join(folder, 'results.json'),
            dict(
                rows=rows,
                adapter_bytes=sizes,
                network_bytes=base,
                clusters=read_json(clusters),
            ),
        )
        return ['results.json']

    def export(self, folders: Folders, method: str, path: str) -> None:
        """Write one file for :class:`mask_plugins.CascadeClassifier`.

        Args:
            folders (dict[str, str]): Of the steps up to ``features``.
            method (str): How embeddings are combined.
            path (str): The file to write.
        """
        # Imported here: it needs mmpretrain.
        from mask_plugins.models.classifiers.cascade_file import (
            CascadeFile,
            write_cascade,
        )

        clusters = read_clusters(
            osp.join(folders['clusters'], 'clusters.safetensors')
        )
        found, adapters = [], {}
        for name in self._checkpoints(folders):
            at = osp.join(folders['features'], name)
            found.append(read_features(f'{at}.safetensors'))
            adapters[name] = read_adapter(f'{at}_adapter.safetensors')
        train = [part.train for part in found]
        combine = fit_combination(train, clusters.train, method)
        probe = LinearProbe().fit(
            combine(train, clusters.train), found[0].train_labels
        )
        base = base_state(self._dispatcher(folders).backbone)
        write_cascade(
            CascadeFile(
                base, adapters, clusters.router, combine, probe.weight,
                probe.bias,
            ),
            path,
        )  # fmt: skip

    # ---------------------------------------------------------------- parts
    def _checkpoints(self, folders: Folders) -> Dict[str, str]:
        """Name of each model -> its weights, the dispatcher first."""
        names = [f'expert_{i}' for i in range(self.settings.clusters)]
        return dict(
            dispatcher=osp.join(folders['dispatcher'], CHECKPOINT),
            **{n: osp.join(folders['experts'], f'{n}.pth') for n in names},
        )

    def _model(self, checkpoint: str) -> nn.Module:
        return load_feature_model(self.cfg, checkpoint, self.device)

    def _dispatcher(self, folders: Folders) -> nn.Module:
        return self._model(osp.join(folders['dispatcher'], CHECKPOINT))

    def _call(self, tool: str, *args: str) -> None:
        path = osp.join(self.tools, *tool.split('/'))
        done = subprocess.run([sys.executable, path, *args])
        if done.returncode:
            raise RuntimeError(
                f'{tool} ended with exit code {done.returncode}; the same '
                'command continues'
            )


def _dump(cfg: Config, path: str) -> str:
    os.makedirs(osp.dirname(path), exist_ok=True)
    write_atomically(path, cfg.pretty_text)
    return path


def _keep_last(work_dir: str, folder: str, name: str = CHECKPOINT) -> None:
    """Write the weights of the last checkpoint of a run, without the rest.

    Raises:
        RuntimeError: If the run is not done.
    """
    state = (read_state(work_dir) or {}).get('state', 'not started')
    if state != DONE:
        raise RuntimeError(
            f'the training in {work_dir} is {state}: wait for it (or the '
            'SLURM array) to end; the same command continues'
        )
    path = find_latest_checkpoint(work_dir)
    loaded: Dict[str, Any] = read_checkpoint(
        osp.join(work_dir, osp.basename(path))
    )
    kept = dict(meta={}, state_dict=loaded['state_dict'])
    # Through memory: a file of torch contains its own name, and so the name
    # that it has while it is written.
    content = io.BytesIO()
    torch.save(kept, content)
    write_atomically(osp.join(folder, name), content.getvalue())
