"""CRC-32C, the checksum in TensorFlow's checkpoints.  zlib has another one.

A text's bits are the coefficients of a polynomial over the integers modulo 2, where + is XOR; the checksum is its remainder
modulo P = x³² + x²⁸ + x²⁷ + … + x⁶ + 1.  The usual table takes a step for each byte; two facts let arrays take them:

    x⁵⁶⁸⁵ ≡ x¹³⁶² + x⁴²⁶ + 1 (mod P).  Squared often enough, this also holds for x⁸ and x⁶⁴ in place of x: a byte or a
    word of 64 bits may be dropped if it is added to the bytes or words 4323, 5259 and 5685 places behind it
    what then remains is a sum of powers of x, and so is its remainder of theirs
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_P = 0x82F63B78  # without x³² and with the highest power in the lowest bit, as each byte's bits stand for powers too
_BEHIND = (4323, 5259, 5685)
_STEP, _KEPT = _BEHIND[0], _BEHIND[-1]
_BLOCK = 2 * _STEP  # words taken in at once; with those kept 115 KB, which stay in the cache
_FIRST = bytes.fromhex("54641f64")  # the checksum starts with 32 ones, as if these bytes came before the text


def crc32c(data: memoryview | bytes) -> int:
    """Return the checksum, some GB a second and in little memory.

        crc32c(b"123456789") -> 0xe3069283

    Castagnoli, Bräuer and Herrmann 1993; RFC 3720 §12.1.  Dropping words: Chorba, Russell 2024.
    """
    text = np.frombuffer(data, np.uint8)
    words = np.zeros(_BLOCK + _KEPT, np.uint64)
    octets = words.view(np.uint8)
    end = len(text) % (8 * _BLOCK)  # zeros in front change nothing, so the first block is the short one
    octets[len(octets) - end :] = text[:end]
    octets[len(octets) - end - 4 :][:4] = np.frombuffer(_FIRST, np.uint8)
    for start in range(end, len(text), 8 * _BLOCK):
        _drop(words)
        words[:_KEPT] = words[_BLOCK:]
        octets[8 * _KEPT :] = text[start : start + 8 * _BLOCK]
    _drop(words)
    _drop(octets[8 * _BLOCK :])
    ones = np.unpackbits(octets[-_KEPT:], bitorder="little")
    return int(np.bitwise_xor.reduce(_remainders()[ones.view(bool)])) ^ 0xFFFFFFFF


def _drop(cells: NDArray[Any]) -> None:
    """Add all cells, bytes or words, but the last _KEPT to those behind them."""
    for start in range(0, len(cells) - _KEPT, _STEP):
        dropped = cells[start : min(start + _STEP, len(cells) - _KEPT)]
        for behind in _BEHIND:
            cells[start + behind :][: len(dropped)] ^= dropped


@cache
def _remainders() -> NDArray[np.uint32]:
    """The remainders that the bits of _KEPT bytes stand for: x^(n + 31) … x³² mod P."""
    remainders, remainder = [], 1  # x³¹
    for _ in range(8 * _KEPT):
        remainder = remainder >> 1 ^ (_P if remainder & 1 else 0)
        remainders.append(remainder)
    return np.array(remainders[::-1], np.uint32)
