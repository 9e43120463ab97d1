"""The command `minigpt`, also python -m minigpt: run a command by its name."""

import argparse
import sys
from importlib import import_module

from . import __version__
from .commands.common import command_parser, exit_status

COMMANDS = {        # the modules in commands/, imported when called: one command needs little of what another does
    "generate": "continue a prompt",
    "train": "train a model on a text",
    "finetune": "fine-tune a model on a task, and compare with baselines",
    "score": "measure how likely a text is, or each of several answers",
    "tokenize": "show the tokens of a text",
    "trace": "show every activation and gradient on a text, as text or as an HTML page",
    "lab": "open a page on which to play a model, look at both passes, and watch a training run",
    "inspect": "say what a model's folder or file is, without loading it",
    "doctor": "check a model for mistakes, and show what it costs on this machine",
    "translate": "train the Transformer of 2017 to translate numbers, and translate with it",
}


def main(argv: list[str] | None = None) -> int:
    """Run the command that the arguments name.  Returns its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        status: int = import_module(f".commands.{argv[0]}", __package__).main(argv[1:])
        return status
    parser = command_parser(
        "minigpt", "A GPT in plain NumPy.", 'python -m minigpt generate "ROMEO:"', "python -m minigpt train --minutes 5",
        notes="commands:\n" + "\n".join(f"  {name:11}{text}" for name, text in COMMANDS.items()),
        usage="minigpt [-h] [--version] COMMAND …",
    )
    parser.add_argument("--version", action="version", version=f"minigpt {__version__}", help="print the version")
    parser.add_argument("command", nargs="?", choices=COMMANDS, metavar="COMMAND",
                        help="one of those below; COMMAND --help lists its flags (default: this help)")

    def print_help(args: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    return exit_status(print_help, parser, argv)


if __name__ == "__main__":
    sys.exit(main())
