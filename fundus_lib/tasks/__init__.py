"""What happens in a step, what an epoch shows, and how an image is predicted: one file per paper.

A paper's module has the class `Task`, and the functions `read_data(recipe, root) -> Data`, `protocol(recipe, data)` and
`test_fingerprint(recipe, root)`; :mod:`fundus_lib.experiment` puts them together.
"""
