"""Transforms are printed with the options that they keep."""

from deepunetto_mm.utils.transform import Transform


class Brighten(Transform):
    def __init__(self, factor: float, channels: str = 'rgb', spare: int = 0) -> None:
        self.factor, self.channels = factor, channels

    def transform(self, results: dict) -> dict:
        return results


def test_options_are_printed_in_their_order():
    assert repr(Brighten(2.0, channels='b')) == "Brighten(factor=2.0, channels='b')"
