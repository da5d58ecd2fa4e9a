_base_ = './hgsl-k1_resnet8_1xb64-30e_digits.py'

model = dict(head=dict(top_k=4))
