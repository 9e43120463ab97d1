"""From a prompt to its continuation: the loop, its options, the warpers, the cache, beam search, and how likely a text is."""
