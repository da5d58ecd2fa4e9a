# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Frames in, frames out, and two networks on the same frames."""

import os

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from mask_plugins.analysis.streams.frame_source import FrameSource, to_input
from mask_plugins.analysis.streams.stream_comparison import (
    StreamComparison,
    relative_error,
    summarize_stream,
)
from mask_plugins.datasets.video import VideoWriter


def write_video(path, count=6):
    with VideoWriter(path) as writer:
        for number in range(count):
            frame = np.full((48, 64, 3), 40 + 5 * number, np.uint8)
            frame[..., 0] = 200  # red, to see swapped channels
            writer.write(frame)
    return str(path)


@pytest.mark.parametrize('ending', ['avi', 'mp4'])
def test_a_video_is_read_as_written(tmp_path, ending):
    path = write_video(tmp_path / f'a.{ending}')
    frames = list(FrameSource(path, size=(48, 64)))
    assert len(frames) == 6
    for number, frame in enumerate(frames):
        assert frame.shape == (48, 64, 3)
        assert frame.dtype == np.uint8
        assert abs(frame[..., 0].mean() - 200) < 12
        assert abs(frame[..., 2].mean() - 40 - 5 * number) < 6
    assert os.listdir(tmp_path) == [f'a.{ending}']


def test_part_of_a_video_at_another_size(tmp_path):
    path = write_video(tmp_path / 'a.avi')
    frames = list(FrameSource(path, size=32, skip=2, limit=3))
    assert [f.shape for f in frames] == [(32, 32, 3)] * 3
    assert abs(frames[0][..., 2].mean() - 50) < 6


def test_a_truncated_video_ends_early(tmp_path):
    path = tmp_path / 'a.avi'
    write_video(path, count=40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert 0 < len(list(FrameSource(str(path), size=32))) < 40


def test_a_folder_with_sizes_that_change_and_a_corrupt_image(tmp_path):
    for number, size in enumerate([(48, 64), (96, 96), (32, 32)]):
        image = np.full((*size, 3), 50, np.uint8)
        cv2.imwrite(str(tmp_path / f'{number}.png'), image)
    (tmp_path / '1b.png').write_bytes(b'no image')
    (tmp_path / 'notes.txt').write_text('neither')
    frames = list(FrameSource(str(tmp_path), size=40))
    assert [f.shape for f in frames] == [(40, 40, 3)] * 3


def test_the_synthetic_scene_moves_and_is_seeded():
    a, b = (list(FrameSource(size=64, limit=4, seed=3)) for _ in range(2))
    other = next(iter(FrameSource(size=64, limit=1, seed=4)))
    assert all((x == y).all() for x, y in zip(a, b))
    assert (a[0] != other).any()
    moved = np.abs(a[0].astype(int) - a[3]).max(-1) > 12
    assert 0 < moved.mean() < 0.2


def test_what_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='not found'):
        FrameSource(str(tmp_path / 'none.avi'))
    (tmp_path / 'bad.avi').write_bytes(b'no video at all')
    for source in (str(tmp_path / 'bad.avi'), str(tmp_path)):
        with pytest.raises(OSError, match='open|no frame'):
            list(FrameSource(source))
    for name, bad in dict(size=8, limit=0, skip=-1, camera=-1).items():
        with pytest.raises(ValueError, match=f'{name} must be an int of at'):
            FrameSource(**{name: bad})
    with pytest.raises(ValueError, match='a source or a camera'):
        FrameSource(str(tmp_path), camera=0)


def test_a_failed_video_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r'one of .* got'):
        VideoWriter('a.gif')
    refused = pytest.raises(ValueError, match='frames must all be')
    with refused, VideoWriter(tmp_path / 'a.avi') as writer:
        for size in (32, 16):
            writer.write(np.zeros((size, 32, 3), np.uint8))
    assert os.listdir(tmp_path) == []


def test_input_is_normalized_and_channels_last():
    frame = np.random.default_rng(0).integers(0, 256, (32, 40, 3))
    image = to_input(frame.astype(np.uint8))
    assert image.shape == (1, 3, 32, 40)
    assert image.is_contiguous(memory_format=torch.channels_last)
    value = (frame[3, 5, 1] - 116.28) / 57.12
    assert image[0, 1, 3, 5] == pytest.approx(value)


def test_records_and_their_summary():
    calls = []

    def step(name, factor):
        return lambda x: calls.append(name) or factor * x

    steps = step('dense', 1.0), step('gated', 1.1)
    head = nn.Flatten()
    comparison = StreamComparison(*steps, lambda: 0.25, head=head)
    records = list(comparison.run([torch.rand(1, 2, 4, 4)] * 4))
    assert calls[:4] == ['gated', 'dense', 'dense', 'gated']
    assert [r['frame'] for r in records] == [0, 1, 2, 3]
    summary = summarize_stream(records)
    assert summary['frames'] == 3
    assert summary['error_mean'] == pytest.approx(0.1, rel=1e-4)
    assert summary['skip_ratio'] == 0.25
    assert summary['agreement'] == 1
    dense = sum(r['dense_ms'] for r in records[1:])
    gated = sum(r['gated_ms'] for r in records[1:])
    assert summary['speed_up'] == pytest.approx(dense / gated)
    with pytest.raises(ValueError, match='at least one frame'):
        summarize_stream([])


def test_relative_error_of_zeros():
    zero, one = torch.zeros(3), torch.ones(3)
    assert relative_error(zero, zero) == 0
    assert relative_error(one, zero) == float('inf')
    assert relative_error(zero, one) == 1


def test_the_drawn_scene_of_the_least_size():
    (frame,) = FrameSource(size=16, limit=1)
    assert frame.shape == (16, 16, 3)
