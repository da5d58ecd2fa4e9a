# DeiT at 224 px: SimMIM's augmentation and three repeats of every image
# (Hoffer et al., https://arxiv.org/abs/1901.09335): an epoch sees a third
# of the images, each under three augmentations.
_base_ = ['./imagenet_bs128_simmim_224.py']

train_dataloader = dict(
    batch_size=256,
    sampler=dict(
        _delete_=True,
        type='RepeatAugSampler',
        num_repeats=3,
        shuffle=True,
    ),
)
val_dataloader = dict(batch_size=256)
test_dataloader = val_dataloader
