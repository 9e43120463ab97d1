"""From a text to a trained model: corpora, batches, optimizers, recipes, the loop, checkpoints, fine-tuning."""
