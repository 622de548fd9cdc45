"""The scores of the ISBI 2012 challenge: membranes as the borders of cells."""

import math
from importlib.util import find_spec
from typing import Any, Sequence

import numpy as np

from deepunetto_mm.evaluation.counting import encode_labels
from deepunetto_mm.evaluation.picture_metric import PictureMetric
from deepunetto_mm.registry import METRICS
from deepunetto_mm.unet2015.segments import compare_segments, connected_segments, thinned_segments

_MEMBRANE, _CELL, _IGNORED = 0, 1, 2
_WRITERS = dict(
    gt_sem_seg='the test pipeline must load it: LoadAnnotations; pictures without masks cannot be scored',
    seg_logits='the model must write it, as segmentors of mmseg do',
)


@METRICS.register_module()
class ISBI2012Metric(PictureMetric):
    """Whether the predicted membranes separate the same cells as the true ones.

    The scores that rank the challenge since its publication, Arganda-Carreras et al., *Crowdsourcing the creation of
    image segmentation algorithms for connectomics* (Frontiers in Neuroanatomy 9, 2015). The classes are 0, membrane,
    and 1, cell. Reported, from 0 to 1 as in the paper:

    ==========================  ===========================================================================
    ``isbi/V_rand``             foreground-restricted Rand score after border thinning; 1 is perfect
    ``isbi/V_rand_threshold``   the threshold at which it is reached
    ``isbi/V_info``             foreground-restricted information theoretic score after border thinning; 1 is perfect
    ``isbi/V_info_threshold``   the threshold at which it is reached
    ``isbi/pixel_error``        pixels of the wrong class, at a threshold of 0.5, over all pixels; 0 is perfect
    ==========================  ===========================================================================

    The true segments are the components (4 neighbours) of the cell class; the pixels of the true membranes are not
    counted. The predicted segments are those of the pixels with a probability of cell *above* a threshold, grown until
    the membranes between them are lines of one pixel, so their width does not matter; the true membranes are not
    thinned. Scores of a threshold are averaged over the pictures. The best average is reported, for each score
    separately. The threshold is chosen on the pictures that are scored: with a fixed one (``thresholds`` of one number)
    the scores may be lower.

    The challenge's old *pixel error* was different: one minus the best F-score of the cell class.

    Ignored pixels are not counted, and they separate true cells. A picture without a true cell has no V_rand and V_info
    and is left out of their averages. Undefined scores are NaN. One record per picture is collected and sums are exact,
    so the results do not depend on the number of processes or the order of the pictures.

    Needs the package scikit-image.

    Args:
        thresholds: Of the probability of cell, each at least 0 and below 1; ties go to the lowest.
        one_channel: Meaning of ``seg_logits`` with one channel: ``'probability'``, which segmentors of mmseg store
            under that name, or ``'logit'``, as in a ``DeepUNetto`` with regions. Two channels are always logits.
        ignore_index: Label of the pixels to ignore.
        options: ``collect_device``, ``prefix`` (None for ``isbi``) and ``collect_dir`` of ``BaseMetric``.

    Raises:
        ValueError: If an option is out of range, or scikit-image is not installed.
    """

    default_prefix = 'isbi'

    def __init__(
        self,
        thresholds: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        one_channel: str = 'probability',
        ignore_index: int = 255,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not thresholds or not all(0 <= threshold < 1 for threshold in thresholds):
            raise ValueError(
                f'ISBI2012Metric: thresholds must be one or more numbers from 0 to below 1, got {thresholds}'
            )
        if one_channel not in ('probability', 'logit'):
            raise ValueError(f"ISBI2012Metric: one_channel must be 'probability' or 'logit', got {one_channel!r}")
        if not find_spec('skimage'):
            raise ValueError('ISBI2012Metric needs the package scikit-image: install it, or leave the metric out')
        self.thresholds = sorted(thresholds)
        self.one_channel = one_channel
        self.ignore_index = ignore_index

    def shared(self) -> None:
        """Nothing; no taxonomy is needed."""

    def record(self, sample: dict, shared: None) -> dict[str, Any]:
        """Both scores at each threshold, and the number of ``wrong`` and of ``counted`` pixels.

        Args:
            sample: With ``gt_sem_seg`` (1, H, W) and ``seg_logits`` (1 or 2, H, W) in the frame of the picture.
            shared: Not used.

        Raises:
            ValueError: If a field is missing, sizes differ, or values are invalid.
        """
        for field, writer in _WRITERS.items():
            if field not in sample:
                raise ValueError(f'the data sample has no {field!r}; {writer}')
        try:
            gt = encode_labels(sample['gt_sem_seg']['data'].squeeze(0).cpu().numpy(), _IGNORED, self.ignore_index)
        except ValueError as error:
            raise ValueError(f'gt_sem_seg, 0 for membrane and 1 for cell: {error}') from error
        probability = self._cell_probability(sample['seg_logits']['data'])
        if gt.shape != probability.shape:
            raise ValueError(f'gt_sem_seg is {gt.shape} and seg_logits {probability.shape}; they must be of one size')
        truth = connected_segments(gt == _CELL)
        by_threshold = [compare_segments(truth, thinned_segments(probability > t)) for t in self.thresholds]
        v_rand, v_info = zip(*by_threshold)
        counted = gt != _IGNORED
        wrong = counted & ((gt == _CELL) != (probability > 0.5))
        return dict(V_rand=v_rand, V_info=v_info, wrong=int(wrong.sum()), counted=int(counted.sum()))

    def _cell_probability(self, seg_logits: Any) -> np.ndarray:
        """(H, W) float32 from logits (2, H, W), or from one channel (1, H, W) as ``one_channel`` says."""
        seg_logits = seg_logits.float()
        if len(seg_logits) == 2:
            # The logit of a softmax over two classes is their difference.
            return (seg_logits[_CELL] - seg_logits[_MEMBRANE]).sigmoid().cpu().numpy()
        if len(seg_logits) != 1:
            raise ValueError(
                f'seg_logits has {len(seg_logits)} channels; it must have 2, membrane and cell, or 1, cell'
            )
        if self.one_channel == 'logit':
            return seg_logits[0].sigmoid().cpu().numpy()
        probability = seg_logits[0].cpu().numpy()
        if not ((probability >= 0) & (probability <= 1)).all():
            raise ValueError(
                f'seg_logits of one channel goes from {probability.min()} to {probability.max()}, which are not '
                "probabilities; if they are logits, set one_channel='logit'"
            )
        return probability

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Average the scores of the records of all pictures, and pick the best thresholds."""
        scores: dict[str, float] = {}
        for key in ('V_rand', 'V_info'):
            rows = [record[key] for record in results if not math.isnan(record[key][0])]
            means = [math.fsum(column) / len(rows) for column in zip(*rows)]
            best = max(means, default=math.nan)
            scores[key] = best
            scores[f'{key}_threshold'] = self.thresholds[means.index(best)] if means else math.nan
        wrong, counted = (sum(record[key] for record in results) for key in ('wrong', 'counted'))
        scores['pixel_error'] = wrong / counted if counted else math.nan
        return scores
