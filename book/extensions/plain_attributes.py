"""Let the docstring of a constant or a property be a sentence, also one with a colon in it.

Napoleon would read `Share of the lesion that was found: TP / (TP + FN).` as a type and its description; so these
docstrings are kept from before it has run until after.
"""


def setup(app):
    """Sphinx calls this."""
    kept = []

    def keep(app, what, name, obj, options, lines):
        kept[:] = lines

    def restore(app, what, name, obj, options, lines):
        if what in ("attribute", "data", "property"):
            lines[:] = kept

    app.connect("autodoc-process-docstring", keep, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)  # napoleon's is 500
    return {"parallel_read_safe": True}
