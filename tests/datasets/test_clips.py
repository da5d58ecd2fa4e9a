# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Generated clips, clips of videos, and how they are packed."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import init_default_scope
from mmpretrain.models.utils import ClsDataPreprocessor
from torch.utils.data import DataLoader

from mask_plugins.datasets import SyntheticClips, VideoClips
from mask_plugins.datasets.transforms import EachFrame, PackClip
from mask_plugins.datasets.video import (
    VideoWriter,
    find_videos,
    natural_key,
)

SMALL = dict(num_clips=4, clip_len=6, image_size=32, object_size=(8, 10))


def change_of(frames):
    return (frames[1:] != frames[:-1]).any(-1)


# ------------------------------------------------------------------ synthetic
def test_a_clip_is_a_function_of_seed_split_and_index():
    first, again = SyntheticClips(**SMALL), SyntheticClips(**SMALL)
    np.random.seed(1)
    again[0]  # what was drawn before does not matter
    assert np.array_equal(first[3]['img'], again[3]['img'])
    for other in (dict(seed=1), dict(split='test')):
        different = SyntheticClips(**SMALL, **other)[3]['img']
        assert not np.array_equal(first[3]['img'], different)
    assert [first[i]['gt_label'] for i in range(4)] == [0, 1, 2, 3]


def test_the_true_change_is_that_of_the_noiseless_picture():
    for extra in ({}, dict(num_objects=3), dict(pan=(1, -2))):
        clean = SyntheticClips(**SMALL, **extra, noise=0)[1]
        noisy = SyntheticClips(**SMALL, **extra, noise=3)[1]
        truth = noisy['gt_change']
        assert truth.shape == (6, 32, 32)
        assert truth[0].all()
        assert np.array_equal(truth, clean['gt_change'])
        # rounding to uint8 may hide a change, never make one
        seen = change_of(clean['img'])
        assert not (seen & ~truth[1:]).any()
        assert (seen & truth[1:]).sum() > 0.9 * truth[1:].sum()
        assert change_of(noisy['img']).mean() > 0.9
    assert clean['gt_change'][1:].mean() > 0.9  # the camera pans


def test_static_pixels_are_static_and_scenes_are_shared():
    clips = SyntheticClips(**SMALL, noise=0, speed=(0, 0))
    sample = clips[0]
    assert not change_of(sample['img']).any()
    assert not sample['gt_change'][1:].any()
    corner = slice(0, 4)
    fixed = [clips[i]['img'][0, corner, corner] for i in range(4)]
    shared = [np.array_equal(fixed[0], other) for other in fixed]
    assert sum(shared) >= 2  # no object in the corner
    free = SyntheticClips(**SMALL, noise=0, fixed_scene=False)
    assert not np.array_equal(free[0]['img'][0], clips[0]['img'][0])


def test_cut_freeze_fade():
    cut = SyntheticClips(**SMALL, noise=0, scene_cut=3)[0]
    assert cut['gt_change'][3].mean() > 0.9
    assert cut['gt_change'][[1, 2, 4, 5]].mean() < 0.3
    frozen = SyntheticClips(**SMALL, freeze=4)[0]
    assert np.array_equal(frozen['img'][5], frozen['img'][3])
    assert not frozen['gt_change'][4:].any()
    faded = SyntheticClips(**SMALL, noise=0, fade=0.1)[0]
    light = faded['img'].mean((1, 2, 3))
    assert light[5] / light[0] == pytest.approx(0.5, abs=0.05)


WRONG = [
    *(('num_clips', 0), ('image_size', (32,)), ('object_size', (9, 8))),
    *(('object_size', (8, 33)), ('num_classes', 11), ('noise', -1)),
    *(('fade', 0.2), ('scene_cut', 6), ('freeze', 0), ('split', 'tran')),
]
OF_ANOTHER_TYPE = [
    *(('clip_len', 2.0), ('speed', 3), ('pan', (0.5, 0)), ('seed', True)),
]


@pytest.mark.parametrize(('name', 'value'), WRONG + OF_ANOTHER_TYPE)
def test_a_wrong_option_is_named(name, value):
    kind = ValueError if (name, value) in WRONG else TypeError
    with pytest.raises(kind, match=name):
        SyntheticClips(**{**SMALL, name: value})


# -------------------------------------------------------------------- packing
def test_packed_clips_pass_collate_and_preprocessor():
    init_default_scope('mmpretrain')
    pipeline = [dict(type='mask_plugins.PackClip')]
    data = SyntheticClips(**SMALL, pipeline=pipeline)
    sample = data[1]
    assert sample['inputs'].shape == (6, 3, 32, 32)
    assert sample['inputs'].dtype == torch.uint8
    assert sample['data_samples'].gt_change.shape == (6, 32, 32)
    assert sample['data_samples'].stream == 'train/1'
    normalize = ClsDataPreprocessor(mean=[128.0] * 3, std=[64.0] * 3)
    expected = (sample['inputs'].float() - 128) / 64
    for collate in (pseudo_collate, default_collate):
        loader = DataLoader(data, batch_size=2, collate_fn=collate)
        batch = dict(next(iter(loader)))
        if collate is default_collate:
            del batch['data_samples']
        out = normalize(batch)
        assert out['inputs'].shape == (2, 6, 3, 32, 32)
        assert torch.equal(out['inputs'][1], expected)


def test_workers_do_not_change_what_is_drawn():
    data = SyntheticClips(**SMALL, pipeline=[PackClip()])
    drawn = []
    for workers in (0, 2):
        options = dict(num_workers=workers, collate_fn=pseudo_collate)
        loader = DataLoader(data, 2, **options)
        drawn.append(torch.stack([x for b in loader for x in b['inputs']]))
    assert torch.equal(*drawn)


def test_each_frame_is_transformed_alike():
    init_default_scope('mmpretrain')
    flip = EachFrame([dict(type='RandomFlip', prob=0.5)])
    crop = EachFrame([dict(type='RandomResizedCrop', scale=16)])
    clip = SyntheticClips(**SMALL, noise=0, speed=(0, 0))[0]['img']
    seen = set()
    for _ in range(12):
        out = flip(dict(img=clip, gt_change=clip))
        assert 'gt_change' not in out
        assert not change_of(out['img']).any()
        seen.add(np.array_equal(out['img'], clip))
        out = crop(dict(img=clip))['img']
        assert out.shape == (6, 16, 16, 3)
        assert not change_of(out).any()
    assert seen == {True, False}


def test_pack_refuses_an_image():
    with pytest.raises(ValueError, match='img must be a clip'):
        PackClip()(dict(img=np.zeros((8, 8, 3), np.uint8)))


# --------------------------------------------------------------------- videos
def write_video(path, frames):
    """Frame n is a plain gray of 10 n, or frames that are given."""
    if isinstance(frames, int):
        shades = 10 * np.arange(frames, dtype=np.uint8)
        frames = [np.full((32, 48, 3), shade) for shade in shades]
    with VideoWriter(path) as writer:
        for frame in frames:
            writer.write(frame)


def write_frames(folder, frames):
    folder.mkdir(parents=True)
    for n in range(frames):
        image = np.zeros((32, 48, 3), np.uint8)
        image[..., 2] = 10 * n  # red, in OpenCV's order
        cv2.imwrite(str(folder / f'frame_{n}.png'), image)


def numbers(sample):
    return (sample['img'].max((1, 2, 3)) / 10).round().astype(int).tolist()


def test_clips_of_files_and_folders(tmp_path):
    (tmp_path / 'a').mkdir()
    write_video(tmp_path / 'a' / 'v.avi', 10)
    write_frames(tmp_path / 'b' / 'w', 12)
    data = VideoClips(str(tmp_path), clip_len=4, label_from_folder=True)
    assert data.metainfo['classes'] == ('a', 'b')
    rows = [(x['stream'], x['frame'], x['gt_label']) for x in data]
    assert rows == [('a/v.avi', 0, 0), ('a/v.avi', 4, 0)] + [
        ('b/w', start, 1) for start in (0, 4, 8)
    ]
    assert numbers(data[1]) == [4, 5, 6, 7]
    assert numbers(data[4]) == [8, 9, 10, 11]  # natural order
    assert data[4]['img'][..., 1:].max() == 0  # RGB
    step = VideoClips(tmp_path / 'b', clip_len=3, frame_step=2, clip_step=5)
    assert [numbers(x) for x in step] == [[0, 2, 4], [5, 7, 9]]
    one = VideoClips(tmp_path / 'a/v.avi', clip_len=8, image_size=(16, 24))
    assert one[0]['img'].shape == (8, 16, 24, 3)
    packed = PackClip()(data[0])
    assert packed['inputs'].shape == (4, 3, 32, 48)


def test_a_video_that_ends_early_is_used_as_far_as_it_goes(
    tmp_path, monkeypatch
):
    path, warned = tmp_path / 'v.avi', []
    rng = np.random.default_rng(0)
    write_video(path, rng.integers(0, 255, (20, 64, 96, 3), np.uint8))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    monkeypatch.setattr(VideoClips, '_warn', staticmethod(warned.append))
    data = VideoClips(str(path), clip_len=4)
    assert 2 <= len(data) < 5
    for sample in data:
        assert sample['img'].shape == (4, 64, 96, 3)
    (message,) = warned
    assert 'of 20 frames; used as far as it can be read' in message


def test_corrupt_and_short_videos(tmp_path):
    (tmp_path / 'bad.avi').write_bytes(b'this is no video' * 100)
    with pytest.raises(OSError, match=r"bad\.avi.*on_bad='skip'"):
        VideoClips(str(tmp_path), clip_len=4)
    with pytest.raises(ValueError, match='no video in'):
        VideoClips(str(tmp_path), clip_len=4, on_bad='skip')
    write_video(tmp_path / 'good.avi', 8)
    assert len(VideoClips(str(tmp_path), clip_len=4, on_bad='skip')) == 2
    write_video(tmp_path / 'short.avi', 3)
    (tmp_path / 'bad.avi').unlink()
    with pytest.raises(ValueError, match='3 frames are fewer than the 4'):
        VideoClips(str(tmp_path), clip_len=4)


def test_a_damaged_frame_is_named(tmp_path):
    write_frames(tmp_path / 'v', 4)
    (tmp_path / 'v' / 'frame_2.png').write_bytes(b'broken')
    with pytest.raises(OSError, match=r'frame_2\.png: frame 2 of .*cannot be'):
        VideoClips(str(tmp_path), clip_len=4)[0]


def test_what_is_not_a_number_is_not_read_as_one():
    names = ['10.png', '²3.png', '2.png', '²', '٣.png']
    assert sorted(names, key=natural_key)[:2] == ['2.png', '٣.png']


def test_links_in_circles_are_left_out_and_named(tmp_path):
    write_frames(tmp_path / 'root' / 'a' / 'v', 4)
    write_frames(tmp_path / 'elsewhere', 4)
    (tmp_path / 'root' / 'a' / 'latest').symlink_to('.')
    (tmp_path / 'root' / 'a' / 'v' / 'up').symlink_to(tmp_path / 'root')
    (tmp_path / 'root' / 'b').symlink_to(tmp_path / 'elsewhere')
    warned, root = [], str(tmp_path / 'root')
    found = find_videos(root, warned.append)
    assert found == [f'{root}/a/v', f'{root}/b']
    assert len(warned) == 2
    assert all('link to a folder above it' in message for message in warned)


def test_a_picture_next_to_videos_is_not_a_frame(tmp_path, monkeypatch):
    write_video(tmp_path / 'v.avi', 8)
    cv2.imwrite(str(tmp_path / 'poster.jpg'), np.zeros((8, 8, 3), np.uint8))
    warned = []
    monkeypatch.setattr(VideoClips, '_warn', staticmethod(warned.append))
    assert len(VideoClips(tmp_path, clip_len=4)) == 2
    assert 'poster.jpg' in warned[0]


def test_classes_are_numbered_alike_in_all_splits(tmp_path):
    for split, classes in (('train', 'abc'), ('val', 'bc'), ('odd', 'bd')):
        for name in classes:
            write_frames(tmp_path / split / name / 'v', 4)
    options = dict(clip_len=4, label_from_folder=True)
    options['class_root'] = tmp_path / 'train'
    val = VideoClips(tmp_path / 'val', **options)
    assert [clip['gt_label'] for clip in val] == [1, 2]
    assert val.metainfo['classes'] == ('a', 'b', 'c')
    with pytest.raises(ValueError, match=r"class_root .*\['d'\]"):
        VideoClips(tmp_path / 'odd', **options)


def test_a_changing_size(tmp_path):
    write_frames(tmp_path / 'v', 3)
    cv2.imwrite(
        str(tmp_path / 'v' / 'frame_3.png'), np.zeros((20, 20, 3), np.uint8)
    )
    with pytest.raises(ValueError, match='frame 3 has .*give image_size'):
        VideoClips(str(tmp_path), clip_len=4)[0]
    data = VideoClips(str(tmp_path), clip_len=4, image_size=16)
    assert data[0]['img'].shape == (4, 16, 16, 3)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        *(('clip_len', 0), ('clip_step', 0), ('frame_step', '2')),
        *(('image_size', (3, 4, 5)), ('on_bad', 'ignore')),
        *(('label_from_folder', True), ('label_from_folder', 'no')),
    ],
)
def test_a_wrong_option_of_videos_is_named(name, value, tmp_path):
    write_video(tmp_path / 'v.avi', 4)
    kind = TypeError if value in ('2', 'no') else ValueError
    with pytest.raises(kind, match=name):
        VideoClips(str(tmp_path), **{'clip_len': 4, name: value})
    with pytest.raises(FileNotFoundError, match='data_root'):
        VideoClips(str(tmp_path / 'none'))
    (tmp_path / 'v.avi').unlink()
    with pytest.raises(ValueError, match='no video'):
        VideoClips(str(tmp_path))
