# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Streams of a batch, each with its state."""

from tests.common.rounding import error, rounding

from .test_stream_models import classifier, clips, labels


def test_streams_of_a_batch_do_not_see_each_other():
    model = classifier(dict(type='threshold', threshold=0.2))
    x = clips(3, 4)
    together = model(x, labels(3), mode='predict')
    for i in range(3):
        (alone,) = model(x[i : i + 1], labels(1), mode='predict')
        scores = together[i].stream_record['scores']
        assert error(alone.stream_record['scores'], scores) < rounding(model)
