"""A batch of sequences as one matrix, a row for each position."""


def rows(x):
    """x (..., C) -> (N, C), a view wherever x is contiguous"""
    return x.reshape(-1, x.shape[-1])
