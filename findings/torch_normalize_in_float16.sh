#!/usr/bin/env bash
# torch.nn.functional.normalize and cosine_similarity in float16, PyTorch 2.13.0.
#
# Guessed before: rows get length 1 within 1 %, and a row of zeros stays zeros, since eps stands in the denominator for that;
# rms_norm and layer_norm, which face the same two dangers, are right in float16.
# Seen: eps is 1e-12, which is 0 in float16: a row of zeros gives NaN.  And the length is rounded to float16 before the
# division, so that a row longer than 65,504, 768 numbers of 2,400, is divided by infinity and comes back as
# zeros.  cosine_similarity gives NaN for the row of zeros.  bfloat16, with float32's range, has neither.
#
# Normalized queries and keys, nGPT's weights and sentence vectors take this path; a padded row is zeros, and one NaN in a batch
# is a NaN in its mean.  Pass eps=1e-6, or normalize in float32.
#
# Usage: findings/torch_normalize_in_float16.sh        needs Python 3.10 or newer and PyPI; fails if this has changed
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "torch==2.13.0" "numpy==2.2.6"
cd "$folder"
venv/bin/python - <<'PYTHON'
import torch
from torch.nn import functional as F

print("torch", torch.__version__)
rows = {"zeros": torch.zeros(1, 768), "all 1": torch.ones(1, 768), "all 2400": torch.full((1, 768), 2400.0)}
for name, row in rows.items():
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        x = row.to(dtype)
        length = F.normalize(x).float().norm().item()
        norms = [F.rms_norm(x, (768,)).float().norm().item(), F.layer_norm(x, (768,)).float().norm().item()]
        cosine = F.cosine_similarity(x, torch.ones_like(x)).item()
        print(f"{name}, {str(dtype)[6:]}: length after normalize {length:.3g}, rms_norm {norms[0]:.3g}, layer_norm {norms[1]:.3g}; "
              f"cosine with ones {cosine:.3g}")
        assert all(number < 1e5 for number in norms), "rms_norm or layer_norm changed"      # false for NaN too
        if dtype == torch.float16 and name == "zeros":
            assert length != length and cosine != cosine, "changed"
        elif dtype == torch.float16 and name == "all 2400":
            assert length == 0, "changed"
        else:
            assert abs(length - (name != "zeros")) < 0.01, "changed"
PYTHON
