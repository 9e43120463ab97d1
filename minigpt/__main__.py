"""python -m minigpt COMMAND …: the commands by name."""

import argparse
import sys

from .commands import doctor, finetune, generate, score, tokenize, trace, train, translate

COMMANDS = {
    "generate": (generate.main, "continue a prompt"),
    "train": (train.main, "train a model on a text"),
    "finetune": (finetune.main, "learn a task from examples, and compare with baselines"),
    "score": (score.main, "how likely is a text, or each of several answers?"),
    "tokenize": (tokenize.main, "show the tokens of a text"),
    "trace": (trace.main, "show what a model computes on a text, by name or as a page"),
    "doctor": (doctor.main, "is a model right, and what does it cost on this machine?"),
    "translate": (translate.main, "train the Transformer of 2017 on numbers in words, and translate with it"),
}


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        prog="minigpt", description="A GPT in plain NumPy.", formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:10}{text}" for name, (_, text) in COMMANDS.items()),
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below; COMMAND --help says more")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="…", help="what the command takes")
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        parser.print_help()
        return 0
    args = parser.parse_args(argv)
    run, _ = COMMANDS[args.command]
    return run(args.rest)


if __name__ == "__main__":
    sys.exit(main())
