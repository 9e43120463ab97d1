"""The commands of python -m minigpt, one file each: parse flags, call the library, print."""
