# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Clusters, experts, combinations and the plan of a cascade."""

import json
import os

import numpy as np
import pytest
import torch

from mask_plugins.analysis.cascade.cluster import (
    cluster_measures,
    fit_clusters,
    read_clusters,
    write_clusters,
)
from mask_plugins.analysis.cascade.cluster_picture import (
    save_cluster_picture,
)
from mask_plugins.analysis.cascade.experts import (
    check_sizes,
    expert_config,
    expert_length,
)
from mask_plugins.analysis.cascade.feature_files import FeatureFile
from mask_plugins.analysis.cascade.plan import MARKER, Plan, Step
from mask_plugins.analysis.cascade.settings import (
    CascadeSettings,
    read_settings,
)
from mask_plugins.analysis.cascade.steps import _keep_last
from mask_plugins.apis.features import build_train_set
from mask_plugins.datasets import ClusterSubset, Digits
from mask_plugins.datasets.cluster_subset import fingerprint
from mask_plugins.engine.checkpoint.run_state import write_state
from mask_plugins.functional.combine import METHODS, fit_combination
from mask_plugins.visualization.cascade import draw_clusters

CONFIG = 'smn-swav_resnet18-narrow_1xb64-30e_digits.py'


def features(count=90, size=6, kinds=3):
    torch.manual_seed(0)
    labels = torch.arange(count) % kinds
    rows = 3 * torch.eye(size)[labels] + 0.3 * torch.randn(count, size)
    return FeatureFile(rows, labels, rows + 0.01, labels, 'x')


def test_assignments_are_those_of_scikit_learn():
    from sklearn.mixture import GaussianMixture

    found = features()
    made = fit_clusters(found, 3, 4, seed=1)
    points = made.router.project(found.train).numpy()
    np.testing.assert_allclose(points.var(0), 1, rtol=1e-9)
    mixture = GaussianMixture(3, reg_covar=90e-6, random_state=1).fit(points)
    assert made.train.tolist() == mixture.predict(points).tolist()
    assert cluster_measures(made, found.train_labels) == dict(
        purity=100, ami=pytest.approx(100)
    )


def test_clusters_survive_their_file(tmp_path):
    path = tmp_path / 'clusters.safetensors'
    made = fit_clusters(features(), 3)
    write_clusters(made, path)
    read = read_clusters(path)
    assert read.images == 'x'
    assert all(map(torch.equal, read.router, made.router))
    assert torch.equal(read.train, made.train)
    for damage in (b'', b'x' * 40, path.read_bytes()[:200]):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=r'clusters\.safetensors'):
            read_clusters(path)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(clusters=91), 'clusters'),
        (dict(clusters=0), 'clusters'),
        (dict(components=0), 'components'),
        (dict(reg_covar=0.0), 'reg_covar'),
    ],
)
def test_bad_numbers_of_clusters(changes, words):
    with pytest.raises(ValueError, match=words):
        fit_clusters(features(), **changes)


def test_subset_of_a_cluster(tmp_path):
    path = tmp_path / 'clusters.safetensors'
    digits = Digits(split='test')
    count = len(digits)
    rows = torch.randn(count, 4)
    labels = torch.zeros(count, dtype=torch.int64)
    found = FeatureFile(rows, labels, rows, labels, fingerprint(digits))
    made = fit_clusters(found, 2)
    write_clusters(made, path)
    parts = [ClusterSubset(digits, path, index) for index in range(2)]
    assert [len(part) for part in parts] == made.sizes
    both = sorted(int(i) for part in parts for i in part.indices)
    assert both == list(range(count))
    with pytest.raises(ValueError, match='cluster: there are no images in 2'):
        ClusterSubset(digits, path, 2)
    for other in (Digits(), Digits(split='test', indices=200)):
        with pytest.raises(ValueError, match='another data set'):
            ClusterSubset(other, path, 0)


def test_the_picture_has_images_of_each_cluster(tmp_path):
    cfg = CascadeSettings(
        CONFIG, overrides={'train_dataloader.dataset.dataset.indices': 60}
    ).config()
    count = len(build_train_set(cfg))
    rows = torch.randn(count, 4)
    labels = torch.zeros(count, dtype=torch.int64)
    found = FeatureFile(rows, labels, rows, labels, '')
    made = fit_clusters(found, 2)
    save_cluster_picture(cfg, made, found, tmp_path / 'clusters.png')
    assert (tmp_path / 'clusters.png').stat().st_size
    images = [[np.zeros((4, 4, 3))] * 3, [np.zeros((4, 4, 3))]]
    figure = draw_clusters(rows[:, :1].numpy(), np.arange(count) % 2, images)
    drawn = [len(axes.images) for axes in figure.subfigs[1].axes]
    assert drawn == [1, 1, 1, 1, 0, 0]


def plain(parts, clusters, method):
    """The formula of each method, without blocks."""
    first, experts = parts[0], torch.stack(parts[1:])
    mine = experts[clusters, torch.arange(len(clusters))]
    if method == 'baseline':
        return first
    if method == 'replace':
        return mine
    if method.startswith('add'):
        conditional = method == 'add_conditional'
        return first + (mine if conditional else experts.sum(0))
    x = [*parts]
    if 'unconditional' not in method:
        x[1:] = [
            part * (clusters == i)[:, None] for i, part in enumerate(x[1:])
        ]
    x = torch.cat(x, 1)
    if not method.startswith('pca'):
        return x
    x = x - x.mean(0)
    u, s, _ = torch.linalg.svd(x, full_matrices=False)
    size = parts[0].shape[1]
    u, s = u[:, :size], s[:size]
    return u * s if method.endswith('white') else u


@pytest.mark.parametrize('method', METHODS)
def test_combinations(monkeypatch, method):
    monkeypatch.setattr('mask_plugins.functional.combine._BLOCK', 16)
    torch.manual_seed(0)
    parts = [torch.randn(70, 5).double() for _ in range(4)]
    clusters = torch.arange(70) % 3
    combine = fit_combination(parts, clusters, method)
    found, wanted = combine(parts, clusters), plain(parts, clusters, method)
    # Components have no sign: compare similarities.
    torch.testing.assert_close(found @ found.T, wanted @ wanted.T)
    some = combine([part[:7] for part in parts], clusters[:7])
    torch.testing.assert_close(some, found[:7])


@pytest.mark.parametrize(
    ('parts', 'clusters', 'words'),
    [
        ([torch.ones(3, 2)], [0, 0, 0], 'parts'),
        ([torch.ones(3, 2), torch.ones(3, 4)], [0, 0, 0], 'parts'),
        ([torch.ones(3, 2)] * 2, [0, 0], 'parts'),
        ([torch.ones(3, 2)] * 2, [0, 1, 0], 'clusters'),
    ],
)
def test_what_does_not_combine(parts, clusters, words):
    with pytest.raises(ValueError, match=words):
        fit_combination(parts, torch.tensor(clusters), 'replace')


def test_expert_config_is_that_of_the_dispatcher_on_a_cluster():
    settings = CascadeSettings(CONFIG, overrides={'train_cfg.max_epochs': 20})
    cfg = settings.config()
    made = expert_config(cfg, 'last.pth', 'c.safetensors', 1, 250, 1000)
    assert made.train_cfg.max_epochs == 80
    hook = next(h for h in made.custom_hooks if 'SwAV' in h['type'])
    assert hook['queue_start_epoch'] == 24
    assert made.load_from == 'last.pth'
    assert made.train_dataloader.dataset.cluster == 1
    assert (
        made.train_dataloader.dataset.dataset == cfg.train_dataloader.dataset
    )
    assert made.model == cfg.model


def test_lengths_of_experts():
    assert expert_length(8508).epochs == 882
    assert expert_length(8508).queue_start == pytest.approx(176.3, abs=0.05)
    with pytest.raises(ValueError, match='size'):
        expert_length(0)
    with pytest.raises(ValueError, match=r'clusters 1 \(7 images\)'):
        check_sizes([64, 7], 8)


def test_a_run_that_is_not_done_is_not_taken(tmp_path):
    """As after the submission of an array, whose tasks save meanwhile."""
    run = tmp_path / 'run'
    run.mkdir()
    torch.save(dict(state_dict=dict(a=torch.ones(1))), run / 'epoch_1.pth')
    (run / 'last_checkpoint').write_text(str(run / 'epoch_1.pth'))
    for state, word in ((None, 'not started'), ('running', 'running')):
        if state:
            write_state(run, state, resumable=False)
        with pytest.raises(RuntimeError, match=f'is {word}: wait'):
            _keep_last(str(run), str(tmp_path))
        assert not (tmp_path / 'last.pth').exists()
    write_state(run, 'done', resumable=False)
    _keep_last(str(run), str(tmp_path))
    assert (tmp_path / 'last.pth').exists()


class Recorder:
    """Steps that write what they were given."""

    def __init__(self, fail=''):
        self.ran, self.fail = [], fail

    def steps(self, **settings):
        return [
            Step(name, settings.get(name, {}), self._runner(name))
            for name in ('one', 'two', 'three')
        ]

    def _runner(self, name):
        def run(folders):
            os.makedirs(folders[name], exist_ok=True)
            self.ran.append(name)
            if name == self.fail:
                raise KeyboardInterrupt
            with open(os.path.join(folders[name], 'out'), 'w') as file:
                json.dump(sorted(folders), file)
            return ['out']

        return run


def test_plan_continues_and_does_again_what_changed(tmp_path):
    folder = str(tmp_path)
    killed = Recorder(fail='two')
    with pytest.raises(KeyboardInterrupt):
        Plan(folder, killed.steps()).run()
    assert [done for *_, done in Plan(folder, killed.steps()).state()] == [
        True, False, False,
    ]  # fmt: skip
    again = Recorder()
    assert Plan(folder, again.steps()).run() == ['two', 'three']
    assert Plan(folder, again.steps()).run() == []
    changed = again.steps(two=dict(k=3))
    # The same file as before: what comes after need not be done again.
    assert Plan(folder, changed).run() == ['two']
    assert Plan(folder, again.steps(one=dict(k=3))).run(last='one') == ['one']
    rows = Plan(folder, again.steps()).state()
    with open(os.path.join(rows[0][1], 'out'), 'a') as file:
        file.write('changed')
    with pytest.raises(ValueError, match='is not what its step made'):
        Plan(folder, again.steps()).run()
    assert os.path.isfile(os.path.join(rows[2][1], MARKER))


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', 'keys and values'),
        ('clusters: 3', 'dispatcher'),
        ('dispatcher: a.py\nclusters: none', 'clusters'),
        ('dispatcher: a.py\nmethods: [pca]', 'methods'),
        ('dispatcher: a.py\nspeed: 3', 'speed'),
        ('{[', 'cascade.yaml'),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, words):
    path = tmp_path / 'cascade.yaml'
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_settings(path)


def test_numbers_are_those_of_sweeps(tmp_path):
    path = tmp_path / 'cascade.yaml'
    path.write_text(f'dispatcher: {CONFIG}\noverrides: {{a.lr: 1e-3}}')
    assert read_settings(path).overrides == {'a.lr': 0.001}
