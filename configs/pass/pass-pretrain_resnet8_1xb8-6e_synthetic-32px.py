_base_ = ['./pass-pretrain_resnet20_1xb8-6e_synthetic-32px.py']

load_from = 'work_dirs/pass-dense_resnet8_1xb16-6e_synthetic-32px/epoch_6.pth'
model = dict(backbone=dict(module=dict(depth=8)))
