"""Train the Transformer of 2017 to translate numbers in words: python scripts/train_translation.py --help"""

import sys

from minigpt.commands.translate import main

if __name__ == "__main__":
    sys.exit(main())
