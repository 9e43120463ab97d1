"""The command lines, one file each: they read flags, call the library and print."""
