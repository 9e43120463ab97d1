"""What goes wrong in the exercises of minigpt/study/exercises/layernorm.py, and the words that name it."""

ATTEMPTS = {
    "layernorm_forward": [
        ([("x.mean(axis=-1", "x.mean(axis=1"), (".mean(axis=-1", ".mean(axis=1")], "over the wrong axis"),
        ([("x.mean(axis=-1", "x.mean(axis=0"), (".mean(axis=-1", ".mean(axis=0")], "over the wrong axis"),
        ([("x.mean(axis=-1, keepdims=True)", "x.mean()"), (".mean(axis=-1, keepdims=True)", ".mean()")],
         "over the whole array"),
        ([("np.sqrt(var + eps)", "np.sqrt(var) + eps")], "ε stands outside the root"),
        ([("np.sqrt(var + eps)", "np.sqrt(var)")], "left out ε"),
        ([("(centered**2).mean(axis=-1, keepdims=True)", "x.var(-1, keepdims=True, ddof=1)")], "divides by C − 1"),
        ([("np.sqrt(var + eps)", "var + eps")], "divided by the variance"),
        ([("return centered", "return x")], "lacks the mean"),
        ([(" + b", "")], "lacks the bias b"),
        ([(" * w", "")], "lacks the weight w"),
        ([("centered / std", "centered * std")], "your r is √(σ² + ε), not inverted"),
        ([("centered / std", "centered")], "your x̂ lacks the factor r = 1/√(σ² + ε)"),
        ([("w + b", "b + w")], "w and b have changed places"),
        ([("return centered / std * w + b", "return x * w + b")],
         "you did not subtract the mean", "your x̂ lacks the factor r = 1/√(σ² + ε)"),
        ([("centered / std * w + b", "(centered / std + b) * w")], "you added b before the weight"),
        ([("* w + b", "* w - b")], "a sign is wrong in your y: b is added, not subtracted"),
        ([("centered = x - mu", "centered = x + mu")],
         "a sign is wrong: μ is subtracted from x, not added, also in the variance"),
        ([("(centered**2)", "(x**2)")], "your variance is the mean of x²"),
        ([("(centered**2)", "(x**2)"), ("return centered", "return x")],
         "your variance is the mean of x²", "you did not subtract the mean"),
        ([("var + eps", "var + 1e-5")], "you took an ε of your own"),
        ([("np.sqrt(var + eps)", "np.sqrt(var) + eps"),
          ("(centered**2).mean(axis=-1, keepdims=True)", "x.var(-1, keepdims=True, ddof=1)")],
         "your ε stands outside the root", "your variance divides by C − 1"),
        ([("np.sqrt(var + eps)", "np.sqrt(var - eps)")], "a sign is wrong: ε is added to σ², not subtracted"),
        ([("(centered**2).mean(axis=-1, keepdims=True)", "np.abs(centered).mean(-1, keepdims=True)")],
         "your variance is the mean of |x − μ|"),
        ([("(centered**2).mean(axis=-1", "(centered**2).sum(axis=-1")], "your variance is a sum"),
        ([("* w + b", "* (1 + w) + b")], "you multiplied by 1 + w"),
        ([(" + b", ""), ("np.sqrt(var + eps)", "np.sqrt(var) + eps")],
         "your ε stands outside the root", "your y lacks the bias b"),
    ],
    "layernorm_backward": [
        ([("g - m1 -", "g -")], "lacks the mean of dx̂"),
        ([(" - xhat * m2", "")], "lacks the term x̂ mean(dx̂ ⊙ x̂)"),
        ([("(g - m1 - xhat * m2)", "g")], "treats μ and r as constants"),
        ([("r * (g - m1 - xhat * m2)", "g - m1 - xhat * m2")], "lacks the factor r"),
        ([("g = dy * w", "g = dy")], "lacks the weight: dx̂ = w ⊙ dy"),
        ([("g.sum(-1, keepdims=True) / C", "g.sum(-1, keepdims=True)"),
          ("(g * xhat).sum(-1, keepdims=True) / C", "(g * xhat).sum(-1, keepdims=True)")],
         "summed over the channels in dx where the mean belongs"),
        ([("g.sum(-1, keepdims=True) / C", "g.mean(0)"), ("(g * xhat).sum(-1, keepdims=True) / C", "(g * xhat).mean(0)")],
         "means in dx over the wrong axis"),
        ([("g.sum(-1, keepdims=True) / C", "g.mean(1, keepdims=True)"),
          ("(g * xhat).sum(-1, keepdims=True) / C", "(g * xhat).mean(1, keepdims=True)")],
         "means in dx over the wrong axis"),
        ([("g.sum(-1, keepdims=True) / C", "g.mean()"), ("(g * xhat).sum(-1, keepdims=True) / C", "(g * xhat).mean()")],
         "means in dx over the wrong axis"),
        ([("dy, xhat)", "dy, x)")], "dw is made of x;"),
        ([("dy, xhat)", "g, xhat)")], "dw has the weight in it"),
        ([('"btc,btc->c"', '"btc,btc->bt"')], "summed dw over the wrong axis"),
        ([('"btc->c"', '"btc->bt"')], "summed db over the wrong axis"),
        ([("g - m1", "g + m1")], "a sign is wrong in your dx: mean(dx̂) is subtracted, not added"),
        ([("- xhat * m2", "+ xhat * m2")], "a sign is wrong in your dx: x̂ mean(dx̂ ⊙ x̂) is subtracted, not added"),
        ([("dx = r *", "dx = 1 / r *")], "you divided dx by r"),
        ([("    nn.layernorm_forward(x, s, eps)\n"
          '    xhat, r, C = s.acts["xhat"], s.acts["rstd"], x.shape[-1]', "    C = x.shape[-1]\n"
          "    r = 1 / (x.std(-1, keepdims=True) + eps)\n"
          "    xhat = (x - x.mean(-1, keepdims=True)) * r")],
         "your ε stands outside the root"),
        ([("nn.layernorm_forward(x, s, eps)", "nn.layernorm_forward(x, s, 0)")], "you left out ε"),
        ([("nn.layernorm_forward(x, s, eps)", "nn.layernorm_forward(x, s)")], "you took an ε of your own"),
        ([("    nn.layernorm_forward(x, s, eps)\n"
          '    xhat, r, C = s.acts["xhat"], s.acts["rstd"], x.shape[-1]', "    C = x.shape[-1]\n"
          "    r = 1 / np.sqrt(x.var(-1, keepdims=True, ddof=1) + eps)\n"
          "    xhat = (x - x.mean(-1, keepdims=True)) * r")],
         "your variance divides by C − 1"),
        ([("    nn.layernorm_forward(x, s, eps)\n"
          '    xhat, r, C = s.acts["xhat"], s.acts["rstd"], x.shape[-1]', "    C = x.shape[-1]\n"
          "    r = np.sqrt(x.var(-1, keepdims=True) + eps)\n"
          "    xhat = (x - x.mean(-1, keepdims=True)) / r")],
         "you divided dx by r"),
        ([("    nn.layernorm_forward(x, s, eps)\n"
          '    xhat, r, C = s.acts["xhat"], s.acts["rstd"], x.shape[-1]', "    C = x.shape[-1]\n"
          "    r = np.sqrt(x.var(-1, keepdims=True) + eps)\n"
          "    xhat = (x - x.mean(-1, keepdims=True)) * r")],
         "your r is √(σ² + ε), not inverted"),
        ([("    nn.layernorm_forward(x, s, eps)\n"
          '    xhat, r, C = s.acts["xhat"], s.acts["rstd"], x.shape[-1]', "    C = x.shape[-1]\n"
          "    r = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)\n"
          "    xhat = x * r")],
         "you did not subtract the mean"),
        ([("    nn.layernorm_forward(x, s, eps)\n"
          '    xhat, r, C = s.acts["xhat"], s.acts["rstd"], x.shape[-1]', "    C = x.shape[-1]\n"
          "    r = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)\n"
          "    xhat = x - x.mean(-1, keepdims=True)")],
         "your x̂ lacks the factor r = 1/√(σ² + ε)"),
        ([("- xhat * m2", "- m2")], "your dx lacks the x̂ in front of mean(dx̂ ⊙ x̂)"),
        ([("m1 - xhat * m2", "xhat * m1 - m2")], "the x̂ in your dx stands before the wrong mean"),
        ([("m2 = (g * xhat)", "m2 = (dy * xhat)")], "the second mean in your dx is of dy ⊙ x̂"),
        ([("m1 = g", "m1 = dy")], "the first mean in your dx is of dy"),
        ([("dy, xhat)", "dy, np.ones_like(x))")], "your dw lacks x̂"),
        ([("dy, xhat)", "dy, xhat * w)")], "your dw has the weight in it"),
        ([('"btc->c", dy', '"btc->c", g')], "your db has the weight in it"),
        ([("dy, xhat)", "dy, xhat) / C")], "your dw is right but for the factor C"),
        ([("g - m1", "g + m1"), ("- xhat * m2", "+ xhat * m2")],
         "a sign is wrong in your dx: mean(dx̂) is subtracted, not added",
          "a sign is wrong in your dx: x̂ mean(dx̂ ⊙ x̂) is subtracted, not added"),
        ([("g - m1", "g + m1"), ("g = dy * w", "g = dy")],
         "a sign is wrong in your dx: mean(dx̂) is subtracted, not added", "your dx lacks the weight"),
        ([("m2 = (g * xhat)", "m2 = (g * x)")], "the second mean in your dx is of dx̂ ⊙ x"),
        ([("g = dy * w", "g = dy / w")], "you divided dy by the weight"),
        ([("m2 = (g * xhat).sum(-1, keepdims=True) / C", "m2 = m1 * xhat.mean(-1, keepdims=True)")],
         "your dx lacks the term x̂ mean(dx̂ ⊙ x̂)"),
    ],
}
