# Distillation: a ResNet-50 FCN teaches the stock ResNet-18 one where its
# classes are (channel-wise, arXiv:2011.13256) and what its last stage gives.
_base_ = '../_base_/mmseg/fcn-r18_cityscapes.py'

model = dict(
    _delete_=True,
    type='mask_plugins.DistilledModel',
    module=_base_.model,  # noqa: F821
    teacher=dict(
        type='mask_plugins.FrozenTeacher',
        config='mmseg::fcn/fcn_r50-d8_4xb2-80k_cityscapes-512x1024.py',
        checkpoint='checkpoints/fcn_r50-d8_512x1024_80k_cityscapes.pth',
    ),
    losses=[
        dict(
            type='mask_plugins.DistillationLoss',
            student='decode_head.conv_seg',
            teacher='decode_head.conv_seg',
            temperature=4.0,
            softmax_over='positions',
            loss_weight=0.2,
        ),
        dict(
            type='mask_plugins.LogitLoss',
            kind='cosine',
            student='backbone.layer4',
            teacher='backbone.layer4',
            channels=(512, 2048),
        ),
    ],
)
