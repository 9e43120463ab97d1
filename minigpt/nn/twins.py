"""The one place that chooses between a layer's two forms: the textbook's in this folder and the engine's in nn/fast/."""

import functools


def has_fast_twin(textbook):
    """Mark a layer that nn/fast/ has a tuned twin of, under the same name and with the same arguments.

        @has_fast_twin
        def linear_forward(x, s): …

    The call runs the twin where the pass is a fast one, s.run.fast, else the function that stands below the mark.
    """
    place = textbook.__code__.co_varnames.index("s")

    @functools.wraps(textbook)
    def layer(*args, **options):
        s = options["s"] if "s" in options else args[place]
        return (fast_twin(textbook.__name__) if s.run.fast else textbook)(*args, **options)

    return layer


@functools.cache
def fast_twin(name):
    """The engine's function of this name, imported when first asked for: the engine itself builds on this folder."""
    from . import fast

    return getattr(fast, name)
