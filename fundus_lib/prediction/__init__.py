"""Grades and lesions of images of one's own: of one (`predict`), or of many with a table (`predict_all`).

`fundus_lib.predict` and `fundus_lib.predict_all` are these functions.
"""

from fundus_lib.prediction.calibrate import calibrate
from fundus_lib.prediction.folder import Predictions, predict_all
from fundus_lib.prediction.image import Prediction, predict

__all__ = ["Prediction", "Predictions", "calibrate", "predict", "predict_all"]
