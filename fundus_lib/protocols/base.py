"""What every protocol has in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fundus_lib.data.image_set import ImageSet
    from fundus_lib.tasks.base import FundusTask


@dataclass(frozen=True)
class Scores:
    """What a test found.

    Attributes:
        metrics: The scores of the prediction that the recipe asks for.
        variants: The same scores of others that the same network gives, by name; none if there are none.
        predictions: The prediction for each test image, for tests that compare two networks image by image; lists of
            the same length, the names of the images among them; those of a variant have its name in brackets, such as
            `EX_aupr (global branch)`. Empty if there is no such short prediction.
    """

    metrics: dict[str, float]
    variants: dict[str, dict[str, float]] = field(default_factory=dict)
    predictions: dict[str, list[Any]] = field(default_factory=dict)


class TestProtocol(Protocol):
    """A way to score a task. On several processes, each predicts its own images, and all get the same scores."""

    def describe(self, weights: str) -> str:
        """The protocol in words, for records.

        Args:
            weights: Which epoch's weights are tested, in words.
        """

    def quick(self, task: FundusTask, images: ImageSet) -> dict[str, float]:
        """Scores after an epoch; none without images."""

    def full(self, task: FundusTask, variants: bool = True) -> Scores:
        """Scores for the record, on the test images; with `variants` of whatever else there is to predict."""
