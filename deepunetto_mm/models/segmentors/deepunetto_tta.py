"""Test-time augmentation of segmentation and names."""

from typing import Any

import torch
from mmengine.model import BaseTTAModel
from mmseg.structures import SegDataSample

from deepunetto_mm.ops.mixed_sizes import predict_by_size
from deepunetto_mm.registry import MODELS
from deepunetto_mm.structures.maps import Maps


@MODELS.register_module()
class DeepUNettoTTA(BaseTTAModel):
    """Average :class:`DeepUNetto` over views of each picture.

    Maps are averaged first, class logits as probabilities, as mmseg's ``SegTTAModel`` does. The regions follow from the
    mean maps. Then every view names those regions, and the scores are averaged; with ``test_cfg.join`` regions become
    one by their mean scores. Views that each found their own regions could not be averaged.
    """

    @torch.no_grad()
    def test_step(self, data: dict[str, Any]) -> list[SegDataSample]:
        """Predict.

        Args:
            data: ``inputs`` and ``data_samples``, each a list over views of lists over pictures, as mmseg's
                ``TestTimeAug`` gives them.

        Returns:
            For each picture its first view's data sample, with the predictions of :meth:`DeepUNetto.predict`;
            ``seg_logits`` are the logits of the mean probabilities.

        Raises:
            ValueError: If the network keeps no logits, which are averaged here.
        """
        model = self.module
        if not model.keep_logits:
            raise ValueError('test-time augmentation averages logits: leave out test_cfg.keep_logits=False')
        return predict_by_size(self._predict, data)

    def _predict(self, data: dict[str, Any]) -> list[SegDataSample]:
        model, views = self.module, []
        for inputs, samples in zip(data['inputs'], data['data_samples']):
            batch = model.data_preprocessor(dict(inputs=inputs, data_samples=samples))
            views.append((model.look(batch['inputs'], batch['data_samples']), batch['data_samples']))
        return self.merge_preds(views)

    def merge_preds(self, views: list[Any]) -> list[SegDataSample]:
        """Merge views, each the network's :class:`View` of a batch and its data samples."""
        model, merged = self.module, views[0][1]
        of_views = [
            view.maps.originals([sample.metainfo for sample in samples], model.align_corners) for view, samples in views
        ]
        model.write(merged, [Maps.mean(of_picture) for of_picture in zip(*of_views)], views)
        return merged
