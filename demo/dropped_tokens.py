# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""What dropped tokens cost a detector or a segmentor, on generated images.

Trains a small plain ViT in mmdet or mmsegmentation at fixed drop ratios, with
zeros at dropped places, with the tokens kept in the feature map, and with
tokens that the last block computes again; prints the mAP or the mIoU at the
same drop ratio.

    python demo/generated_shapes.py cityscapes data/city_shapes
    python demo/dropped_tokens.py cityscapes data/city_shapes
"""

import argparse
import statistics
import tempfile

from mask_plugins.utils.entry_point import entry_point
from mask_plugins.utils.files import write_json

SIZE = (64, 128)  # of the images, height and width
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
PREPROCESSOR = dict(mean=[64.0] * 3, std=[64.0] * 3)


def boxes(root: str) -> dict:
    """What a RetinaNet on the one map of the ViT has of its own."""
    return dict(
        default_scope='mmdet',
        model=dict(
            type='RetinaNet',
            data_preprocessor=dict(type='DetDataPreprocessor', **PREPROCESSOR),
            neck=None,
            bbox_head=dict(
                type='RetinaHead',
                num_classes=2,
                in_channels=ARCH['embed_dims'],
                feat_channels=32,
                stacked_convs=1,
                anchor_generator=dict(
                    type='AnchorGenerator',
                    scales=[1.5, 3],
                    ratios=[0.5, 1.0, 2.0],
                    strides=[8],
                ),
            ),
            train_cfg=dict(
                assigner=dict(
                    type='MaxIoUAssigner',
                    pos_iou_thr=0.5,
                    neg_iou_thr=0.4,
                    min_pos_iou=0,
                    ignore_iof_thr=-1,
                ),
                sampler=dict(type='PseudoSampler'),
                allowed_border=-1,
                pos_weight=-1,
            ),
            test_cfg=dict(
                nms_pre=1000,
                min_bbox_size=0,
                score_thr=0.05,
                nms=dict(type='nms', iou_threshold=0.5),
                max_per_img=10,
            ),
        ),
        dataset=lambda split: dict(
            type='CocoDataset',
            metainfo=dict(classes=('box', 'disc')),
            ann_file=f'annotations/instances_{split}2017.json',
            data_prefix=dict(img=f'{split}2017'),
        ),
        annotations=dict(type='LoadAnnotations', with_bbox=True),
        pack='PackDetInputs',
        evaluator=dict(
            type='CocoMetric',
            ann_file=f'{root}/annotations/instances_val2017.json',
            metric='bbox',
        ),
        score=('mAP', 'val/coco/bbox_mAP', 100.0),
    )


def pixels(root: str) -> dict:
    """What an FCN has of its own."""
    return dict(
        default_scope='mmseg',
        model=dict(
            type='EncoderDecoder',
            data_preprocessor=dict(
                type='SegDataPreProcessor',
                size=SIZE,
                pad_val=0,
                seg_pad_val=255,
                **PREPROCESSOR,
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
        dataset=lambda split: dict(
            type='CityscapesDataset',
            data_prefix=dict(
                img_path=f'leftImg8bit/{split}', seg_map_path=f'gtFine/{split}'
            ),
        ),
        annotations=dict(type='LoadAnnotations'),
        pack='PackSegInputs',
        evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
        score=('mIoU', 'val/mIoU', 1.0),
    )


TASKS = dict(coco=boxes, cityscapes=pixels)  # as generated_shapes.py says


def loader(task: dict, root: str, split: str, batch_size: int) -> dict:
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
            data_root=root,
            pipeline=[
                *([dict(type='mask_plugins.SeedSample')] if train else []),
                dict(type='LoadImageFromFile'),
                task['annotations'],
                dict(type='Resize', scale=SIZE[::-1]),
                *([dict(type='RandomFlip', prob=0.5)] if train else []),
                dict(type=task['pack']),
            ],
            **task['dataset'](split),
        ),
    )


def config(args: argparse.Namespace, sampling: dict, seed: int) -> dict:
    """The config of one training."""
    task = TASKS[args.format](args.root)
    backbone = dict(
        type='mask_plugins.TokenSampler',
        scorer=args.scorer,
        module=dict(
            type='mmpretrain.VisionTransformer',
            arch=ARCH,
            img_size=SIZE,
            patch_size=8,
            out_type='featmap',
        ),
        **sampling,
    )
    return dict(
        default_scope=task['default_scope'],
        model=dict(task['model'], backbone=backbone),
        train_dataloader=loader(task, args.root, 'train', 8),
        val_dataloader=loader(task, args.root, 'val', 1),
        train_cfg=dict(
            by_epoch=False,
            max_iters=args.iterations,
            val_interval=args.iterations,
        ),
        val_cfg=dict(),
        val_evaluator=task['evaluator'],
        optim_wrapper=dict(
            optimizer=dict(type='AdamW', lr=args.lr),
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


def score(args: argparse.Namespace, sampling: dict, seed: int) -> float:
    """Train and validate; the mAP or the mIoU in percent."""
    from mmengine.config import Config
    from mmengine.runner import Runner

    _, key, scale = TASKS[args.format](args.root)['score']
    cfg = Config(config(args, sampling, seed))
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        name = f'{sampling}, seed {seed}'
        runner = Runner.from_cfg(cfg.copy())
        runner.train()
        # Without one detection mmdet has no score.
        scores = runner.message_hub.log_scalars
        found = scale * scores[key].current() if key in scores else 0.0
    print(f'{name}: {found:.1f}', flush=True)
    return found


@entry_point()
def main(argv=None) -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('format', choices=TASKS)
    parser.add_argument('root', help='folder of generated_shapes.py')
    parser.add_argument('--iterations', type=int, default=300)
    parser.add_argument('--lr', type=float, default=3e-4)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--scorer', default='magnitude')
    parser.add_argument('--drop-ratios', type=float, nargs='+',
        default=(0.0, 0.4, 0.8))  # fmt: skip
    parser.add_argument('--out', help='a JSON file for the numbers')
    args = parser.parse_args(argv)
    run(args)


def run(args: argparse.Namespace) -> None:
    """Train and print."""
    import torch  # only now: --help needs none of it

    torch.set_num_threads(1)
    rows = []
    for ratio in args.drop_ratios:
        for kind, options in KINDS.items():
            if not ratio and kind != 'zero':
                continue  # the same network
            sampling = dict(drop_ratio=ratio, **options)
            found = [score(args, sampling, seed) for seed in range(args.seeds)]
            rows.append(dict(drop_ratio=ratio, dropped=kind, score=found))
    name, *_ = TASKS[args.format](args.root)['score']
    print(f'| drop ratio | dropped | {name} (least to most of the seeds) |')
    print('|---|---|---|')
    for row in rows:
        kind = row['dropped'] if row['drop_ratio'] else 'none'
        mean = statistics.mean(row['score'])
        spread = f'{min(row["score"]):.1f} to {max(row["score"]):.1f}'
        print(f'| {row["drop_ratio"]:g} | {kind} | {mean:.1f} ({spread}) |')
    if args.out:
        write_json(args.out, rows)


if __name__ == '__main__':
    main()
