"""Putting heads side by side without moving them: attention's twin writes them where they belong."""

from collections.abc import Sequence

import numpy as np

from ..multihead import split_heads
from ..scope import Scope


def merge_heads(parts: Sequence[np.ndarray], s: Scope) -> np.ndarray:
    """Put heads side by side again, with no copy of those that beside() has placed: arrays (B, H, T, D) -> (B, T, parts·C)."""
    B, H, T, D = parts[0].shape
    if len(parts) == 1:
        return parts[0].swapaxes(1, 2).reshape(B, T, H * D)        # a view of what beside() gave
    merged, places = beside(s, parts)
    for part, place in zip(parts, places, strict=True):
        if part.base is not merged.base:
            place[...] = part
    return merged


def beside(s: Scope, parts: Sequence[np.ndarray]) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Make an array (B, T, parts·C) -> it and its heads, views in the shape of `parts`, which merge_heads() need not move."""
    B, H, T, D = parts[0].shape
    merged = s.dacts.empty(f"merged.{len(parts)}", (B, T, len(parts) * H * D), parts[0].dtype)
    return merged, split_heads(merged, len(parts), H)
