"""Which keys a query may attend to."""

import numpy as np


def attention_mask(
    T: int, S: int, *, causal: bool = True, window: int | None = None, key_padding_mask: np.ndarray | None = None,
) -> np.ndarray:
    r"""Say of every query and key whether the query sees the key.

        causal            j ≤ t, the last query aligned with the last key
        window            |t − j| < window, a band (Child et al. 2019)
        key_padding_mask  key_padding_mask[b, j] is true: (B, S) booleans, false at padding

    T queries t, S keys j -> booleans (T, S), with a key_padding_mask (B, 1, T, S), true where seen.
    Vaswani et al. 2017 §3.2.3; articles A0 §3.1.1, A4 §4.1.
    """
    t = np.arange(S - T, S)[:, None]
    j = np.arange(S)
    seen = np.ones((T, S), bool)
    if causal:
        seen &= j <= t
    if window is not None:
        seen &= abs(t - j) < window
    if key_padding_mask is not None:
        seen = seen & key_padding_mask[:, None, None, :]
    return seen
