# Streams next to the dense network; weights are in demo/checkpoints/.
_base_ = ['./pass-finetune_resnet8_1xb16-3e_synthetic-32px.py']

load_from = None
model = dict(running_mode='Test')
test_evaluator = [
    dict(type='Accuracy'),
    dict(type='mask_plugins.SkipRatio', per_layer=True),
]
