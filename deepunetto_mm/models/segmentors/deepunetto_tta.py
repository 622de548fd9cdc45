"""Test-time augmentation of segmentation and names."""

from typing import Any

import torch
from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from deepunetto_mm.registry import MODELS


@MODELS.register_module()
class DeepUNettoTTA(BaseTTAModel):
    """Average :class:`DeepUNetto` over views of each picture.

    Class probabilities are averaged first, as mmseg's ``SegTTAModel`` does; the regions follow from their mean; then
    every view names those regions and the scores are averaged. Views that each found regions of their own could not be
    averaged.
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
        model, views = self.module, []
        if not model.keep_logits:
            raise ValueError('test-time augmentation averages logits: leave out test_cfg.keep_logits=False')
        for inputs, samples in zip(data['inputs'], data['data_samples']):
            batch = model.data_preprocessor(dict(inputs=inputs, data_samples=samples))
            view = model.segment(batch['inputs'], batch['data_samples'])
            views.append((view, model.postprocess_result(view.seg_logits, batch['data_samples'])))
        return self.merge_preds(views)

    def merge_preds(self, views: list[Any]) -> list[SegDataSample]:
        """Merge views, each the network's :class:`View` of a batch and its postprocessed data samples."""
        model, merged = self.module, views[0][1]
        for i, sample in enumerate(merged):
            probs = [model.class_probs(samples[i].seg_logits.data[None]) for _, samples in views]
            logits = torch.stack(probs).mean(0).clamp(min=1e-12).log()
            if model.out_channels == 1:  # whose sigmoid is the second of two probabilities
                logits = logits[:, 1:] - logits[:, :1]
            sample.set_data(
                dict(seg_logits=PixelData(data=logits[0]), pred_sem_seg=PixelData(data=model.classify(logits)))
            )
        if model.with_regions:
            model.name_regions(views, merged)
        return merged
