"""From a prompt to its continuation: the loop, its options, the warpers, the cache, and how likely a text is."""
