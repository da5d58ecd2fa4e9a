_base_ = './hgsl_resnet50_1xb84-100e.py'

work_dir = 'work_dirs/{{fileBasenameNoExtension}}_{{$HGSL_DATASET:cub}}'
# The same through mmpretrain's own retriever, which embeds the gallery before
# it compares every query with it: for gallery and queries that differ, and for
# its own metrics.
gallery = dict(
    _base_.val_dataloader,
    dataset=dict(_base_.val_dataloader.dataset, gt='indices'),
)
model = dict(
    _delete_=True,
    type='ImageToImageRetriever',
    image_encoder=[_base_.model.backbone, _base_.model.neck],
    head=_base_.model.head,
    prototype=gallery,
    similarity_fn='cosine_similarity',
)
val_dataloader = gallery
test_dataloader = gallery
custom_hooks = _base_.custom_hooks + [
    dict(type='PrepareProtoBeforeValLoopHook')
]
