# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Walk through the wrappers of datasets and samplers."""

from typing import Any, Iterator, List, Optional, Tuple

from torch.utils.data import DataLoader


def walk_datasets(
    dataset: Any, wrappers: Tuple[Any, ...] = ()
) -> Iterator[Tuple[Any, Tuple[Any, ...]]]:
    """Every dataset inside ``dataset``, each with the wrappers around it.

    Args:
        dataset (Any): A dataset, or a wrapper that holds the inner ones in
            ``dataset``, ``_dataset`` or ``datasets``.
        wrappers (tuple): The wrappers around ``dataset``. Defaults to ().

    Yields:
        tuple: A dataset (wrappers too), and what wraps it, outermost first.
    """
    if any(dataset is wrapper for wrapper in wrappers):
        return
    yield dataset, wrappers
    attributes = getattr(dataset, '__dict__', {})
    for name in ('dataset', '_dataset', 'datasets'):
        inner = attributes.get(name, [])
        for part in inner if isinstance(inner, (list, tuple)) else [inner]:
            if part is not None:
                yield from walk_datasets(part, (*wrappers, dataset))


def pipeline_of(dataset: Any) -> List[Any]:
    """The transforms of a dataset, without those of datasets inside it."""
    pipeline = getattr(dataset, '__dict__', {}).get('pipeline', ())
    transforms = getattr(pipeline, 'transforms', pipeline)
    return list(transforms) if isinstance(transforms, (list, tuple)) else []


def samplers_of(loader: DataLoader) -> List[Any]:
    """All samplers of a loader: index, batch and the ones inside them."""
    found: List[Any] = []
    queue = [loader.sampler, loader.batch_sampler]
    for sampler in queue:  # which grows
        if sampler is not None and not any(sampler is s for s in found):
            found.append(sampler)
            inner = getattr(sampler, '__dict__', {})
            queue += [inner.get('batch_sampler'), inner.get('sampler')]
    return found


def configured_pipeline(dataset: dict) -> Optional[List[Any]]:
    """The transforms in the config of a dataset, also of a wrapped one.

    Returns:
        list, optional: None where there are none.
    """
    while 'pipeline' not in dataset:
        inner = dataset.get('dataset', dataset.get('datasets'))
        # the splits of a dataset have one pipeline
        inner = inner[0] if isinstance(inner, (list, tuple)) else inner
        if not isinstance(inner, dict):
            return None
        dataset = inner
    return list(dataset['pipeline'])
