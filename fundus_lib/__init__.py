"""How diabetic retinopathy is found in fundus images: data, models, losses, metrics and the recipes of five papers.

Importing the package is light; the parts that need torch load when they are used.
"""

__version__ = "0.1.0"
