"""The distance of a picture from the photographs that a bundle learned from."""

from math import sqrt

import numpy as np
import numpy.typing as npt

from edge.bundle.input_statistics import InputStatistics, Measured
from edge.bundle.manifest import Manifest
from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from edge.letterbox.geometry import SMALLEST_FRAME
from edge.pictures.features import FEATURES, FeatureExtractor, Rows


class InputFeatures:
    """Measures the features of a line's pictures. Not for use by two threads at once."""

    def __init__(self, contract: LetterboxContract) -> None:
        """`contract` is that of the bundle."""
        self._contract, self._extractor = contract, FeatureExtractor(contract)

    def warm_up(self) -> None:
        """Measure a black picture, so that imports do not delay the first one of the line."""
        height, width = self._contract.holding(SMALLEST_FRAME, SMALLEST_FRAME)
        self.of_features(self.features(self.copy_rows(np.zeros((height, width, 3), np.uint8))))

    def copy_rows(self, frame: Frame) -> Rows:
        """What `features` needs of a frame `uint8 [H, W, 3]` BGR. Raises DataError if it lacks the bundle's region."""
        return self._extractor.copy_rows(frame)

    def features(self, rows: Rows) -> npt.NDArray[np.float64]:
        """The features of the picture with these rows, float64 [14], in the order of `FEATURES`."""
        return self._extractor.features(rows)

    def of_features(self, features: npt.NDArray[np.float64]) -> Measured | None:
        """The distance of a picture with these features; None if there is nothing to compare them with."""
        return None


class InputDistance(InputFeatures):
    """Compares pictures with `statistics`. Not for use by two threads at once."""

    def __init__(self, statistics: InputStatistics, contract: LetterboxContract) -> None:
        """`contract` is that of the same bundle."""
        super().__init__(contract)
        self._mean, self._deviation = np.array(statistics.mean), np.array(statistics.deviation)
        self._whitening = np.zeros((len(FEATURES), len(FEATURES)))
        self._whitening[np.tril_indices(len(FEATURES))] = [value for row in statistics.whitening for value in row]

    @classmethod
    def of(cls, manifest: Manifest) -> "InputDistance | None":
        """That of a bundle; None if the bundle has no statistics of its photographs."""
        statistics = manifest.input_statistics
        return None if statistics is None else cls(statistics, manifest.letterbox)

    def measure(self, rows: Rows) -> Measured:
        """The distance of the picture with these rows."""
        return self.of_features(self.features(rows))

    def measure_frame(self, frame: Frame) -> Measured:
        """The distance of a frame `uint8 [H, W, 3]` BGR. Raises DataError if it lacks the contract's region."""
        return self.measure(self.copy_rows(frame))

    def of_features(self, features: npt.NDArray[np.float64]) -> Measured:
        """The distance of a picture with these features, float64 [14], in the order of `FEATURES`."""
        off = (features - self._mean) / self._deviation
        whitened = self._whitening @ off
        return Measured(sqrt(whitened @ whitened), FEATURES[int(np.abs(off).argmax())])
