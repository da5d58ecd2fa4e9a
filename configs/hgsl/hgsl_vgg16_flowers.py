_base_ = [
    '../_base_/models/hgsl_vgg16.py',
    '../_base_/datasets/retrieval_flowers_bs84.py',
    '../_base_/schedules/hgsl_sgd_100e.py',
]

model = dict(head=dict(num_classes=51))
