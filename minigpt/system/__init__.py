"""Files, threads and the machine: what has nothing to do with GPT."""
