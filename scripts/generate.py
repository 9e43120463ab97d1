"""Continue a text with a trained model: python scripts/generate.py --help"""

import sys

from minigpt.commands.generate import main

if __name__ == "__main__":
    sys.exit(main())
