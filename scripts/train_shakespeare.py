"""Train a GPT on Tiny Shakespeare, or on any text: python scripts/train_shakespeare.py --help"""

import sys

from minigpt.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
