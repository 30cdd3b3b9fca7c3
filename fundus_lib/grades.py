"""The one scale of grades: what is graded, and into how many grades."""

from __future__ import annotations

GRADES = {"dr": 5, "dme": 3}
"""Number of grades of each disease, in the order in which the library lists them.

- ``"dr"``, diabetic retinopathy on the International Clinical Diabetic Retinopathy (ICDR) scale: 0 none, 1 mild, 2
  moderate, 3 severe non-proliferative, 4 proliferative.
- ``"dme"``, risk of diabetic macular edema: 0 no hard exudate, 1 all of them farther than one disc diameter from the
  fovea, 2 some within.
"""

SCORES = {"joint": "both grades right", "dr": "retinopathy", "dme": "edema"}
"""What of an image's grades can be right, in words; both together first, by which papers rank."""
