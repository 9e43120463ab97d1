"""Text to token ids and back: byte-level BPE, and single characters."""
