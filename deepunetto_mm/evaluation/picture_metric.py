"""Metrics of pictures, one after the other."""

from typing import Any, Sequence

from mmengine.evaluator import BaseMetric

from deepunetto_mm.evaluation.inputs import dataset_taxonomy


class PictureMetric(BaseMetric):
    """Base of metrics that keep one record for each picture, which :meth:`record` makes.

    mmengine cuts the records of all processes to the length of the dataset: with one for each region, most would be
    lost.
    """

    def shared(self) -> Any:
        """What :meth:`record` needs for each picture of a batch: the taxonomy of the dataset.

        Raises:
            TaxonomyError: If the dataset's ``metainfo`` has none.
        """
        return dataset_taxonomy(self)

    def record(self, sample: dict, shared: Any) -> Any:
        """The record of a picture.

        Args:
            sample: Its data sample as a dict.
            shared: What :meth:`shared` returns.

        Raises:
            ValueError: If the data sample cannot be used.
        """
        raise NotImplementedError(f'{type(self).__name__} needs a record')

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the records of a batch.

        Args:
            data_batch: Not used.
            data_samples: Data samples as dicts, of which :meth:`record` says what they must have.

        Raises:
            ValueError: As of :meth:`shared`, and of :meth:`record`, whose message then names the picture.
        """
        shared = self.shared()
        for sample in data_samples:
            try:
                self.results.append(self.record(sample, shared))
            except ValueError as error:
                raise ValueError(f'{sample.get("img_path", "a picture without img_path")}: {error}') from error
