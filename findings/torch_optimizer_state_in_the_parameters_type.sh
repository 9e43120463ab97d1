#!/usr/bin/env bash
# The state of an optimizer of one's own, saved and loaded by torch.optim.Optimizer of PyTorch 2.13.0, for weights in
# bfloat16.
#
# Guessed before: load_state_dict(state_dict()) restores the state as it was: float32 moments beside bfloat16 weights, the
# usual way to keep small steps from being rounded off, stay float32, and whole numbers stay whole.
# Seen: every tensor in the state is turned into the type of its parameter, except one by the name of "step".  The float32
# moments come back in bfloat16 and stay so: the next steps round each of them.  A count of 1001 comes back as 1000.0, and
# adding 1 to it never gets it further.  No warning; it happens at the first resume only.
#
# Keep counts as Python numbers or in "step"; load moments by hand, after load_state_dict().
#
# Usage: findings/torch_optimizer_state_in_the_parameters_type.sh        needs Python 3.11 or newer, PyPI; fails if changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch

print("torch", torch.__version__)


class Momentum(torch.optim.Optimizer):
    """A slow average of the gradients in float32, whatever the weights are"""

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["average"] = torch.zeros_like(weight, dtype=torch.float32)
                    state["seen"], state["step"] = torch.tensor(0), torch.tensor(0)
                state["average"] += 0.001 * (weight.grad.float() - state["average"])
                state["seen"] += 1
                state["step"] += 1


def state(optimizer):
    return {name: (value.item(), str(value.dtype)) for name, value in optimizer.state_dict()["state"][0].items()}


weight = torch.nn.Parameter(torch.zeros((), dtype=torch.bfloat16))
weight.grad = torch.ones_like(weight)
through, stopped = Momentum([weight], {}), Momentum([weight], {})
for _ in range(1001):
    through.step()
torch.save(through.state_dict(), "optimizer.pt")
stopped.load_state_dict(torch.load("optimizer.pt"))
print("saved: ", state(through))
print("loaded:", state(stopped))
types = {name: dtype for name, (_, dtype) in state(stopped).items()}
assert types == {"average": "torch.bfloat16", "seen": "torch.bfloat16", "step": "torch.int64"}, "changed"
for _ in range(1000):
    through.step(), stopped.step()
print("1,000 steps on, without a stop:", state(through))
print("1,000 steps on, resumed:       ", state(stopped))
whole, resumed = through.state[weight], stopped.state[weight]
assert whole["seen"] == whole["step"] == resumed["step"] == 2001 and resumed["seen"] == 1000, "changed"
assert whole["average"] > 0.86 and resumed["average"] < 0.7, "changed"
PYTHON
