# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What dropped tokens cost a segmentor, on generated images.

Trains a small plain ViT in mmsegmentation at fixed drop ratios, with zeros at
dropped places, with the tokens kept in the feature map, and with tokens that
the last block computes again; prints the mIoU at the same drop ratio.

    python demo/generated_shapes.py cityscapes data/city_shapes
    python demo/segmentation_drop.py data/city_shapes
"""

import argparse
import statistics
import tempfile

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mask_plugins.utils.files import write_json

BLOCKS = 4
ARCH = dict(
    embed_dims=64, num_layers=BLOCKS, num_heads=4, feedforward_channels=128
)
# Columns of the table: options of TokenSampler.
KINDS = {
    'zero': dict(dropped='zero'),
    'keep': dict(dropped='keep'),
    'keep, last block on all': dict(dropped='keep', return_after=BLOCKS - 1),
}


def loader(root: str, split: str, size: list, batch_size: int) -> dict:
    """A loader of one of the splits."""
    train = split == 'train'
    return dict(
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(
            type='InfiniteSampler' if train else 'DefaultSampler',
            shuffle=train,
        ),
        dataset=dict(
            type='CityscapesDataset',
            data_root=root,
            data_prefix=dict(
                img_path=f'leftImg8bit/{split}', seg_map_path=f'gtFine/{split}'
            ),
            pipeline=[
                *([dict(type='mask_plugins.SeedSample')] if train else []),
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations'),
                dict(type='Resize', scale=(size[1], size[0])),
                *([dict(type='RandomFlip', prob=0.5)] if train else []),
                dict(type='PackSegInputs'),
            ],
        ),
    )


def config(args: argparse.Namespace, sampling: dict, seed: int) -> Config:
    """The config of one training."""
    size = [64, 128]
    return Config(
        dict(
            default_scope='mmseg',
            model=dict(
                type='EncoderDecoder',
                data_preprocessor=dict(
                    type='SegDataPreProcessor',
                    mean=[64.0] * 3,
                    std=[64.0] * 3,
                    size=tuple(size),
                    pad_val=0,
                    seg_pad_val=255,
                ),
                backbone=dict(
                    type='mask_plugins.TokenSampler',
                    scorer=args.scorer,
                    module=dict(
                        type='mmpretrain.VisionTransformer',
                        arch=ARCH,
                        img_size=tuple(size),
                        patch_size=8,
                        out_type='featmap',
                    ),
                    **sampling,
                ),
                decode_head=dict(
                    type='FCNHead',
                    in_channels=ARCH['embed_dims'],
                    in_index=0,
                    channels=32,
                    num_convs=1,
                    concat_input=False,
                    num_classes=19,
                    norm_cfg=dict(type='BN'),
                    align_corners=False,
                ),
                train_cfg=dict(),
                test_cfg=dict(mode='whole'),
            ),
            train_dataloader=loader(args.root, 'train', size, 8),
            val_dataloader=loader(args.root, 'val', size, 1),
            train_cfg=dict(
                by_epoch=False,
                max_iters=args.iterations,
                val_interval=args.iterations,
            ),
            val_cfg=dict(),
            val_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
            optim_wrapper=dict(
                optimizer=dict(type='AdamW', lr=3e-4),
                clip_grad=dict(max_norm=1.0),
            ),
            param_scheduler=dict(
                type='CosineAnnealingLR', T_max=args.iterations, by_epoch=False
            ),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', save_last=False)
            ),
            custom_hooks=[dict(type='mask_plugins.SeedHook')],
            randomness=dict(seed=seed),
            log_level='ERROR',
        )
    )


def miou(args: argparse.Namespace, sampling: dict, seed: int) -> float:
    """Train and validate; the mIoU in percent."""
    cfg = config(args, sampling, seed)
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        name = f'{sampling}, seed {seed}'
        runner = Runner.from_cfg(cfg.copy())
        runner.train()
        found = runner.message_hub.get_scalar('val/mIoU').current()
    print(f'{name}: {found:.1f}', flush=True)
    return found


def main(argv=None) -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('root', help='folder of generated_shapes.py')
    parser.add_argument('--iterations', type=int, default=300)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--scorer', default='magnitude')
    parser.add_argument('--drop-ratios', type=float, nargs='+',
        default=(0.0, 0.4, 0.8))  # fmt: skip
    parser.add_argument('--out', help='a JSON file for the numbers')
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = []
    for ratio in args.drop_ratios:
        for kind, options in KINDS.items():
            if not ratio and kind != 'zero':
                continue  # the same network
            sampling = dict(drop_ratio=ratio, **options)
            found = [miou(args, sampling, seed) for seed in range(args.seeds)]
            rows.append(dict(drop_ratio=ratio, dropped=kind, miou=found))
    print('| drop ratio | dropped | mIoU (least to most of the seeds) |')
    print('|---|---|---|')
    for row in rows:
        name = row['dropped'] if row['drop_ratio'] else 'none'
        mean = statistics.mean(row['miou'])
        spread = f'{min(row["miou"]):.1f} to {max(row["miou"]):.1f}'
        print(f'| {row["drop_ratio"]:g} | {name} | {mean:.1f} ({spread}) |')
    if args.out:
        write_json(args.out, rows)


if __name__ == '__main__':
    main()
