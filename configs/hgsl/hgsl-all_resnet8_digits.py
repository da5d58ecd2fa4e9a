_base_ = './hgsl-k1_resnet8_digits.py'

model = dict(head=dict(top_k=0))  # all classes
