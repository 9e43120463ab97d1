"""How a model is trained: the numbers of a run, and the presets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ..config import ConfigError
from ..inputs import is_number, is_whole
from ..system.option_names import names_options
from .batches import ORDERS
from .optim import OPTIMIZERS, SCHEDULES


@names_options
@dataclass(frozen=True)
class Recipe:
    """How a model is trained. Raises ConfigError listing every bad field."""

    steps: int | None = 2000        # updates, or None where minutes says when to end
    minutes: float | None = None    # time for the steps, without evaluations and samples; the schedule then follows it
    batch_size: int = 12            # sequences of n_positions tokens in a batch
    accumulate: int = 1             # batches for one update
    optimizer: str = "muon"         # Muon or NorMuon for the blocks' matrices, AdamW for the rest; or AdamW for all
    lr: float = 4e-3                # peak learning rate of AdamW
    muon_lr: float = 0.014          # peak learning rate of Muon and NorMuon
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.1
    clip: float = 1.0               # largest gradient norm of what AdamW updates
    warmup_steps: int = 20          # the learning rate rises from 0 over these
    schedule: str = "linear"        # how it falls afterwards
    final_lr: float = 0.0           # where it ends, as a fraction of the peak
    order: Literal["crops", "windows", "shifted"] = "crops"     # pieces from anywhere, or each window of the text once an
                                    # epoch; shifted: from another start each epoch
    eval_interval: int | None = None    # updates between evaluations on the whole validation split, each with a checkpoint;
                                        # None: an eighth of the run, of its steps or of its minutes
    sample_tokens: int = 200        # tokens of the samples printed on the way
    seed: int = 1337

    def __post_init__(self) -> None:
        bad = []
        if (self.steps is None) == (self.minutes is None):
            bad.append(f"steps {self.steps!r} and minutes {self.minutes!r}, expected one of the two")
        for name, lowest in (("steps", 1), ("batch_size", 1), ("accumulate", 1), ("warmup_steps", 0), ("eval_interval", 1),
                             ("sample_tokens", 0), ("seed", 0)):
            value = getattr(self, name)
            if not is_whole(value, lowest) and not (value is None and name in ("steps", "eval_interval")):
                bad.append(f"{name} {value!r}, expected a whole number of at least {lowest}")
        for name, most in (("minutes", math.inf), ("lr", 10), ("muon_lr", 10), ("clip", math.inf)):
            value = getattr(self, name)
            given = is_number(value) or (name == "clip" and isinstance(value, float) and value == math.inf)
            if not (given and 0 < value <= most) and not (value is None and name == "minutes"):
                bad.append(f"{name} {value!r}, expected a number above 0" + (f" and at most {most}" if most < 99 else ""))
        for name in ("beta1", "beta2", "weight_decay", "final_lr"):
            value = getattr(self, name)
            if not (is_number(value) and 0 <= value < 1):
                bad.append(f"{name} {value!r}, expected a number from 0 to below 1")
        for name, choices in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("order", ORDERS)):
            value = getattr(self, name)
            if not (isinstance(value, str) and value in choices):
                bad.append(f"{name} {value!r}, expected {' or '.join(choices)}")
        if bad:
            raise ConfigError(f"Recipe: {'; '.join(bad)}")


# What --preset names: sizes of the model, fields of the recipe.
PRESETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "shakespeare-char": (
        dict(n_positions=128, n_embd=128, n_layer=2, n_head=4),
        dict(steps=3500, batch_size=8, optimizer="normuon", lr=3.3e-3, muon_lr=0.008, order="shifted"),
    ),
    "nanogpt-cpu": (
        dict(n_positions=64, n_embd=128, n_layer=4, n_head=4, bias=False),
        dict(steps=2000, batch_size=12, optimizer="adamw", lr=1e-3, schedule="cosine", final_lr=0.1, warmup_steps=100),
    ),
    "ten-minutes": (
        dict(n_positions=256, n_embd=128, n_layer=3, n_head=4),
        dict(steps=3200, batch_size=8, optimizer="normuon", lr=4.6e-3, muon_lr=0.011, order="shifted"),
    ),
}
