# Copyright (c) mask_plugins contributors. Licensed under Apache-2.0.
"""Recall@K, R-precision, MAP@R and relatives of image retrieval."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mask_plugins.functional.feature_vectors import non_finite_rows
from mask_plugins.functional.neighbors import METRICS as SIMILARITIES
from mask_plugins.functional.retrieval import (
    check_measures,
    evaluate_retrieval,
    hits_of_ranking,
    mean_scores,
    retrieval_scores,
)
from mask_plugins.registry import METRICS
from mask_plugins.utils.checks import check_bool, check_choice, check_int

from .feature_metric import labels_of_samples, nan_results


@METRICS.register_module()
class RetrievalMetrics(BaseMetric):
    """How well images find others of their class.

    It reads what the model leaves in the data samples:

    - ``embedding``, of a :class:`mask_plugins.ImageEmbedder`: the test images
      are queries and gallery at once. Neighbors are sought when all are
      there, in blocks; a query never finds itself, by its index.
    - ``pred_score``, of mmpretrain's ``ImageToImageRetriever``: similarities
      with its prototype. ``gt_label`` must then be the list of gallery
      indices of the class (``mask_plugins.ClassSplit(gt='indices')``, or
      ``InShop``).

    Classes with a single image are not queries; equal similarities rank by
    index; a k beyond the gallery means all of it; embeddings that are not
    finite make the results NaN, with a warning. Rank 0 computes: the
    embeddings of :math:`N` images take 4 N D bytes there, and blocks are
    bounded as :func:`mask_plugins.functional.retrieval.evaluate_retrieval`
    says.

    Args:
        ks (Sequence[int]): For measures at k. Defaults to (1, 2, 4, 8).
        measures (Sequence[str]): Of

            - ``recall``: share of queries with a hit among the first k;
            - ``precision``: share of hits among the first k;
            - ``r_precision``: precision at R, the number of other images of
              the class;
            - ``map_at_r``: MAP@R of Musgrave et al., arXiv:2003.08505;
            - ``map``: mean average precision over all ranks (sorts the whole
              gallery for each query);
            - ``authors_map``: mAP@k as HGSL's released code computes it,
              divided by the hits among the first k. It is higher than any
              standard definition and comparable with no other.

            Defaults to ``('recall', 'r_precision', 'map_at_r')``.
        metric (str): ``'cosine'``, ``'dot'`` or ``'euclidean'``. Defaults to
            'cosine'.
        exclude_self (bool): For ``pred_score``: leave out the gallery image
            with the query's ``sample_idx``. False where queries are not part
            of the gallery, as in InShop. Defaults to True.
        chunk (int): Queries at a time. Defaults to 1024.
        prefix (str, optional): Replaces ``retrieval``. Defaults to None.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        TypeError, ValueError: If ``measures``, ``ks``, ``metric`` or
            ``chunk`` is not as above; while testing, if no image has a match.

    Examples:
        >>> metric = RetrievalMetrics(ks=[1], measures=['recall'])
        >>> for index, row in enumerate(torch.eye(2).repeat(2, 1)):
        ...     sample = dict(embedding=row, gt_label=[index % 2])
        ...     metric.process(None, [dict(sample, sample_idx=index)])
        >>> metric.evaluate(4)
        {'retrieval/recall@1': 100.0, 'retrieval/queries': 4}
    """

    default_prefix = 'retrieval'

    def __init__(
        self,
        ks: Sequence[int] = (1, 2, 4, 8),
        measures: Sequence[str] = ('recall', 'r_precision', 'map_at_r'),
        metric: str = 'cosine',
        exclude_self: bool = True,
        chunk: int = 1024,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_measures(ks, measures)
        self.ks = tuple(ks)
        self.measures = tuple(measures)
        self.metric = check_choice('metric', metric, SIMILARITIES)
        self.exclude_self = check_bool('exclude_self', exclude_self)
        self.chunk = check_int('chunk', chunk, 1)

    def process(
        self, data_batch: Any, data_samples: Sequence[Dict[str, Any]]
    ) -> None:
        """Keep an embedding and a label, or the hits, of each sample."""
        for sample in data_samples:
            index = sample.get('sample_idx')
            if 'embedding' in sample:
                self.results.append(
                    dict(
                        index=index,
                        embedding=sample['embedding'].detach().float().cpu(),
                        label=int(labels_of_samples([sample])),
                    )
                )
            elif 'pred_score' in sample:
                self.results.append(self._ranked(sample, index))
            else:
                raise KeyError(
                    'RetrievalMetrics needs an embedding (use '
                    "model=dict(type='mask_plugins.ImageEmbedder')) or the "
                    'pred_score of an ImageToImageRetriever, found '
                    f'{sorted(sample)}'
                )

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """The averages, in percent, and ``queries``, how many count.

        Raises:
            ValueError: If no query has a relevant image.
        """
        if all(r['index'] is not None for r in results):
            # A distributed sampler pads with doubles: each image once.
            once = {r['index']: r for r in results}
            results = [once[index] for index in sorted(once)]
        if 'embedding' in results[0]:
            found, wrong = self._of_embeddings(results)
        else:
            found, wrong = self._of_rankings(results)
        return nan_results(found, type(self).__name__, wrong, len(results))

    def _of_embeddings(self, results: List[dict]) -> Tuple[dict, int]:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        embeddings = torch.stack([r['embedding'] for r in results])
        labels = torch.tensor([r['label'] for r in results])
        most = len(results) - 1
        if max(self.ks) > most:
            MMLogger.get_current_instance().warning(
                f'RetrievalMetrics: of ks={self.ks}, those beyond the {most} '
                'images that a query can find mean all of these.'
            )
        found = evaluate_retrieval(
            embeddings.nan_to_num(0, 0, 0).to(device),
            labels.to(device),
            ks=self.ks,
            measures=self.measures,
            metric=self.metric,
            chunk=self.chunk,
        )
        return found, non_finite_rows(embeddings)

    def _of_rankings(self, results: List[dict]) -> Tuple[dict, int]:
        # One by one: their rankings differ in length.
        scores = [
            retrieval_scores(
                r['hits'][None],
                torch.tensor([r['relevant']]),
                self.ks,
                self.measures,
            )
            for r in results
            if r['relevant']
        ]
        if not scores:
            raise ValueError('no query has a relevant image in the gallery')
        found = dict(mean_scores(scores), queries=len(scores))
        return found, sum(not r['finite'] for r in results)

    def _ranked(self, sample: dict, index: Optional[int]) -> dict:
        similarity = torch.as_tensor(sample['pred_score'])
        if self.exclude_self and index is None:
            raise KeyError(
                'RetrievalMetrics excludes an image from its own results by '
                'sample_idx, which the data sample lacks'
            )
        hits, relevant = hits_of_ranking(
            similarity,
            torch.as_tensor(sample['gt_label']).reshape(-1).long(),
            None if 'map' in self.measures else max(self.ks),
            own=int(index) if self.exclude_self else -1,
        )
        finite = bool(similarity.isfinite().all())
        return dict(index=index, hits=hits, relevant=relevant, finite=finite)
