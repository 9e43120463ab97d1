"""The engine: the textbook's splitting, learning and merging once more, tuned.  Tokenizer runs these.

split_pieces, learn_merges and apply_merges have the names and the meaning of those in split.py and bpe.py, which explain the
algorithm.  PieceCache encodes whole texts: it remembers the pieces it has seen, and PairTable merges many new ones at once.
WordCache encodes whole texts by WordPiece.
"""

from .learning import learn_merges
from .merging import apply_merges
from .pair_table import PairTable
from .piece_cache import PieceCache
from .split import split_pieces
from .word_cache import WordCache

__all__ = ["PairTable", "PieceCache", "WordCache", "apply_merges", "learn_merges", "split_pieces"]
