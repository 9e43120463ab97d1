"""python -m minigpt COMMAND …: run a command by its name."""

import argparse
import sys

from .commands import doctor, finetune, generate, inspect, score, tokenize, trace, train, translate
from .commands.common import exit_status

COMMANDS = {
    "generate": (generate.main, "continue a prompt"),
    "train": (train.main, "train a model on a text"),
    "finetune": (finetune.main, "fine-tune a model on a task, and compare with baselines"),
    "score": (score.main, "measure how likely a text is, or each of several answers"),
    "tokenize": (tokenize.main, "show the tokens of a text"),
    "trace": (trace.main, "show every activation and gradient on a text, as text or as an HTML page"),
    "inspect": (inspect.main, "say what a model's folder or file is, without loading it"),
    "doctor": (doctor.main, "check a model for mistakes, and show what it costs on this machine"),
    "translate": (translate.main, "train the Transformer of 2017 to translate numbers, and translate with it"),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="minigpt", usage="minigpt [-h] COMMAND …", description="A GPT in plain NumPy.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:11}{text}" for name, (_, text) in COMMANDS.items()),
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS, metavar="COMMAND",
                        help="one of those below; COMMAND --help lists its flags")
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        name, *rest = argv
        return COMMANDS[name][0](rest, f"minigpt {name}")

    def print_help(args: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    return exit_status(print_help, parser, argv)


if __name__ == "__main__":
    sys.exit(main())
