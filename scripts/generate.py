"""Continue a text with a trained model: python scripts/generate.py --help"""

import sys

from minigpt.cli import generate

if __name__ == "__main__":
    sys.exit(generate())
