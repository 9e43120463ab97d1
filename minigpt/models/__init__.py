"""The models: GPT, a classifier on it, and the Transformer of 2017, over one network with its passes."""
