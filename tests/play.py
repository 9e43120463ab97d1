"""A play to learn speakers from, made up."""


def play(n_names=7, n_speeches=400):
    """A play whose last tenth has enough speeches; each line says its speaker's word and a number of its own"""
    names = [f"NAME {'ABCDEFG'[i]}" for i in range(n_names)]
    return "".join(
        f"{name}:\nI say the word {name[-1]} {i:06}\nand {name[-1]} once more {i:06}, friend.\n\n"
        for i, name in enumerate(names * (10 * n_speeches // n_names))
    )
