"""The one place that chooses between a layer's two forms: the textbook's in this folder and the engine's in nn/fast/."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def has_fast_twin(textbook: Callable[P, R]) -> Callable[P, R]:
    """Mark a layer that nn/fast/ has a tuned twin of, under the same name and with the same arguments.

        @has_fast_twin
        def linear_forward(x, s): …

    A call runs the twin where the pass is a fast one, s.run.fast, else the decorated function.
    """
    place = textbook.__code__.co_varnames.index("s")

    @functools.wraps(textbook)
    def layer(*args: P.args, **options: P.kwargs) -> R:
        s: Any = args[place] if len(args) > place else options.get("s")
        fast = s is not None and s.run.fast
        return (fast_twin(textbook.__name__) if fast else textbook)(*args, **options)

    return layer


@functools.cache
def fast_twin(name: str) -> Callable[..., Any]:
    """The engine's function of this name, imported when first asked for: the engine itself builds on this folder."""
    from . import fast

    return getattr(fast, name)
