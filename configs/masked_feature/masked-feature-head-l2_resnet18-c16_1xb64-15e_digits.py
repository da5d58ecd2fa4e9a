_base_ = './masked-feature-head_resnet18-c16_1xb64-15e_digits.py'

model = dict(head=dict(mask_loss='l2', mask_softmax=True))
