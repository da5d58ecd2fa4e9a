_base_ = './hgsl-k1_resnet8_1xb64-10e_cifar10-reduced.py'

model = dict(head=dict(top_k=4))
