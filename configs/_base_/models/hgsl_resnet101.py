# The original's ResNet-101 is another model (cosine logits, SCDA at test time)
# that its training cannot run. This is the ResNet-50 recipe, deeper; for SCDA
# set neck=dict(scda=True).
_base_ = './hgsl_resnet50.py'

model = dict(
    backbone=dict(
        depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')
    )
)
