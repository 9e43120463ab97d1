"""Wrong attempts at the exercises: {exercise: [([(old, new), …], words of the message, …), …]}.

Each changes pieces of the right answer in learners.py as people do by mistake, one mistake or two at once.
"""

from . import attention, layernorm, layers, loss, memory, model, optimizers, tokens

ATTEMPTS = {name: rows for module in (tokens, loss, layers, layernorm, attention, memory, model, optimizers)
            for name, rows in module.ATTEMPTS.items()}
