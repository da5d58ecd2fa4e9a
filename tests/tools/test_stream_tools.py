# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Stream tools through the command line, on a small video of their own."""

import json
import os

import numpy as np
import pytest
import torch
from mmpretrain.models import ResNet

from mask_plugins.analysis.streams.frame_source import FrameSource, to_input
from mask_plugins.analysis.streams.gated_stream import (
    GatedStream,
    gate_network,
)
from mask_plugins.analysis.streams.quick_calibration import (
    calibrate_stream,
)
from mask_plugins.analysis.streams.stream_model import (
    best_dense,
    last_feature,
    random_resnet,
)
from mask_plugins.benchmarks.pass_stream import PassStreamBenchmark
from mask_plugins.core.patches import apply_patch_gates, gated_layers
from mask_plugins.datasets.video import VideoWriter
from mask_plugins.models.backbones import GatedResNet
from tests.common.rounding import error, rounding
from tests.common.tools import run_tool

DEMO = 'demo/stream_demo'
CALIBRATE = 'tools/analysis/calibrate_gate'


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp('video') / 'moving.avi'
    with VideoWriter(str(path)) as writer:
        for frame in FrameSource(size=128, limit=8, seed=1):
            writer.write(frame)
    return str(path)


@pytest.fixture(scope='module')
def dense(video):
    images = [to_input(f) for f in FrameSource(video, size=128, limit=2)]
    return best_dense(random_resnet(images))


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a tool on small frames; it writes to ``tmp_path``."""

    def run_it(tool, *args, out=tmp_path):
        args = (*args, '--size', 128, '--out', out)
        run_tool(monkeypatch, f'../{tool}', *args)

    return run_it


def test_demo_writes_video_picture_and_numbers(video, tmp_path, run, capsys):
    run(DEMO, video, '--calibration-frames', 2)
    printed = capsys.readouterr().out
    assert 'calibrated: error' in printed or 'no thresholds' in printed
    for text in ('speed-up', 'skip ratio', 'agreement of the top class'):
        assert text in printed
    found = json.loads((tmp_path / 'stream_demo.json').read_text())
    assert len(found['frames']) == 8
    assert found['frames'][0]['error'] < rounding(ResNet(18))  # in full
    frames = list(FrameSource(str(tmp_path / 'stream_demo.mp4'), size=64))
    assert len(frames) == 8
    assert (tmp_path / 'stream_demo.png').stat().st_size


def test_a_network_that_does_not_gain_runs_dense(
    video, run, capsys, monkeypatch
):
    kind = 'mask_plugins.analysis.streams.quick_calibration'
    slow = dict(speed_up=0.9)
    monkeypatch.setattr(f'{kind}.summarize_stream', lambda records: slow)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)).eval()
    stream = GatedStream(gate_network(net, place='conv'))
    images = [to_input(f) for f in FrameSource(video, size=32, limit=3)]
    assert not calibrate_stream(stream, net, images, 0.3)
    with torch.no_grad():
        assert torch.equal(stream(images[1]), net(images[1]))
    assert stream.shares() == {'0': 1.0}
    monkeypatch.setattr(f'{kind}.calibrate_stream', lambda *args: False)
    run(DEMO, video, '--frames', 3)
    assert 'the network runs dense' in capsys.readouterr().out


def test_demo_without_a_video(run, capsys):
    run(DEMO, '--frames', 3, '--threshold', 0.05, '--dtype', 'bf16')
    assert 'synthetic scene, random weights, bf16' in capsys.readouterr().out


def test_what_is_missing_is_an_error_and_nothing_is_written(tmp_path, run):
    out, rules = tmp_path / 'out', tmp_path / 'a.json'
    with pytest.raises(SystemExit, match='not found'):
        run(DEMO, tmp_path / 'none.avi', out=out)
    for text, message in (
        ('{}', 'must hold a list "rules"'),
        ('[' * 100_000, 'nested too deeply|not JSON'),
        ('{"rules": [{"pattern": "*", "enabled": "no"}]}', 'without "action"'),
        ('{"rules": [{"pattern": "*", "action": "no"}]}', 'must be one of'),
    ):
        rules.write_text(text)
        with pytest.raises(SystemExit, match=message):
            run(DEMO, '--frames', 2, '--gates', rules, out=out)
    assert not out.exists()


def test_calibrated_gates_are_read_by_the_sweep_and_by_apply_gates(
    video, dense, tmp_path, run, capsys
):
    run(CALIBRATE, video, '--frames', 3, '--check-frames', 2,
        '--sample-channels', 8, '--target-error', 0.2)  # fmt: skip
    assert 'break-even' in capsys.readouterr().out
    path = tmp_path / 'gates.json'
    found = json.loads(path.read_text())
    assert 0 <= found['error'] <= 0.2
    assert len(found['rules']) == 9
    kept = [rule for rule in found['rules'] if rule['action'] == 'gate']
    more = ('--gates', path) if kept else ()
    if kept:
        network = apply_patch_gates(best_dense(dense), rules=found['rules'])
        layers = gated_layers(network)
        assert list(layers) == [rule['pattern'] for rule in kept]
        assert list(gated_layers(GatedResNet(18, rules=path))) == list(layers)
        for rule in kept:
            gate = layers[rule['pattern']].gate
            assert 0 <= rule['break_even'] <= 1
            assert gate.sample_channels == 8
            assert gate.threshold == rule['gate']['threshold']
    run('tools/analysis/skip_sweep', video, '--frames', 4, *more,
        '--thresholds', 0.05, 0.5, '--html')  # fmt: skip
    rows = json.loads((tmp_path / 'skip_sweep.json').read_text())['rows']
    assert [r['threshold'] for r in rows][-2:] == [0.05, 0.5]
    assert rows[-2]['error_mean'] <= rows[-1]['error_mean']
    assert rows[-2]['skip_ratio'] <= rows[-1]['skip_ratio']
    assert (tmp_path / 'skip_sweep.png').stat().st_size
    assert '<table>' in (tmp_path / 'skip_sweep.html').read_text()


def test_target_skip_ratio(video, tmp_path, run):
    run(CALIBRATE, video, '--frames', 3, '--target-skip', 0.3)
    found = json.loads((tmp_path / 'gates.json').read_text())
    assert found['target_skip'] == 0.3
    thresholds = [rule['gate']['threshold'] for rule in found['rules']]
    assert len(thresholds) == 9


def test_exact_gates_equal_dense_and_thresholds_can_be_set(video, dense):
    stream = GatedStream(gate_network(dense, 'exact'))
    feature = last_feature(dense)
    still = np.full((128, 128, 3), 90, np.uint8)
    frames = [*FrameSource(video, size=128, limit=3), still, still]
    with torch.no_grad():
        for frame in frames:
            image = to_input(frame)
            assert error(stream(image), feature(image)) < rounding(dense)
            skipped = stream.skip_ratio()
    assert skipped > 0.9  # a frame that repeats the last
    assert not stream.active().any()
    stream = GatedStream(gate_network(dense))
    stream.set_thresholds({'conv1': None, 'layer1.0': 0.3}, {'layer1.0': 0.5})
    assert stream.layers['layer1.0'].gate.threshold == 0.3
    assert stream.layers['layer1.0'].break_even == 0.5
    stream(to_input(still))
    assert stream.shares()['conv1'] == 1
    with pytest.raises(ValueError, match='gated layer must be one of'):
        stream.set_thresholds({'layer9': 0.1})


@pytest.mark.slow
def test_benchmark(video, tmp_path, run, capsys):
    out = tmp_path / 'sub' / 'pass.json'
    run('tools/benchmarks/pass_stream', video, '--quick', '--errors', 0.25,
        '--calibration-frames', 2, '--judged-frames', 3, '--exact-frames', 4,
        '--rounds', 1, '--check-frames', 3, '--refresh-every', 3,
        out=out)  # fmt: skip
    printed = capsys.readouterr().out
    assert 'exact gate, 4 frames: largest error' in printed
    result = json.loads(out.read_text())
    assert result['settings']['video'] == os.path.basename(video)
    assert result['exact']['error_max'] < rounding(ResNet(18))
    rows = [
        row
        for row in result['layer']
        if (row['channels'], row['path']) == (64, 'torch')
    ]
    assert [row['skip'] for row in rows] == [0, 0.5, 0.7, 0.9]
    (row,) = result['frontier']
    assert row['calibration_error'] <= 0.25 * 0.9
    assert row['frames'] == 2
    assert result['settings']['check_frames'] == 3
    memory = result['memory']
    assert memory['bf16_to_outputs'] < 1 < memory['fp32_to_outputs'] < 2
    assert 0 < row['share_of_limit']
    assert row['speed_up_fastest'] <= row['speed_up']
    assert 0 <= row['agreement_top5'] <= 1
    assert out.with_suffix('.png').stat().st_size


def test_benchmark_refuses():
    for bad in (
        *(dict(parts=['all']), dict(judged_frames=1), dict(check_frames=1)),
        *(dict(refresh_every=-1), dict(margin=2.0), dict(errors=[0.0])),
        *(dict(dtype='int8'), dict(checkpoint='a.pth')),
    ):
        (name,) = bad
        with pytest.raises(ValueError, match=f'{name} must'):
            PassStreamBenchmark(**bad)


def test_a_check_of_thresholds_needs_an_error(run):
    with pytest.raises(SystemExit, match='check-frames needs --target-error'):
        run(CALIBRATE, '--check-frames', 2, '--target-skip', 0.3)
