_base_ = './masked-feature_resnet18-c16_1xb64-15e_digits.py'

# The reference is a head on the student's features: almost as cheap as CE.
model = dict(scope='head')
