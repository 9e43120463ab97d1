"""What layernorm.py says, in Chinese: {English: Chinese}."""

CHINESE = {
    "each position brought to mean 0 and variance 1, then scaled and shifted": "把每个位置变成均值 0、方差 1，再缩放和平移",
    "μ and σ² are the mean and variance of a position's C channels.": "μ 和 σ² 是一个位置的 C 个通道的均值和方差。",
    "x.mean(-1, keepdims=True) is μ, (B, T, 1): one number for each position.":
        "x.mean(-1, keepdims=True) 是 μ，(B, T, 1)：每个位置一个数。",
    "σ² is the mean of (x − μ)², a division by C, not by C − 1. ε stands under the root.":
        "σ² 是 (x − μ)² 的均值，除以 C，而不是 C − 1。ε 在根号下。",
    "xhat = (x - mean) / np.sqrt(variance + eps), and y = w * xhat + b.":
        "xhat = (x - mean) / np.sqrt(variance + eps)，然后 y = w * xhat + b。",
    "you took mean and variance over the wrong axis: each position has its own, over its C channels":
        "求均值和方差的轴不对：每个位置有自己的，对它的 C 个通道求",
    "you took mean and variance over the whole array: each position has its own; mean(-1, keepdims=True)":
        "你对整个数组求了均值和方差：每个位置有自己的；mean(-1, keepdims=True)",
    "your ε stands outside the root: it is √(σ² + ε), not √σ² + ε": "你的 ε 在根号外：应是 √(σ² + ε)，不是 √σ² + ε",
    "you left out ε: it stands under the root, √(σ² + ε)": "你漏了 ε：它在根号下，√(σ² + ε)",
    "a sign is wrong: ε is added to σ², not subtracted": "符号错了：ε 是加到 σ² 上的，不是减去",
    "you took an ε of your own; eps is an argument": "你用了自己的 ε；eps 是一个参数",
    "your variance divides by C − 1; layer norm divides by C": "你的方差除以了 C − 1；层归一化除以 C",
    "your variance is a sum; it should be the mean of (x − μ)²": "你的方差是和；应是 (x − μ)² 的均值",
    "your variance is the mean of x²; it should be that of (x − μ)²": "你的方差是 x² 的均值；应是 (x − μ)² 的均值",
    "your variance is the mean of |x − μ|; it should be that of (x − μ)²": "你的方差是 |x − μ| 的均值；应是 (x − μ)² 的均值",
    "you divided by the variance, σ² + ε, instead of by its root": "你除以了方差 σ² + ε，而不是它的平方根",
    "your r is √(σ² + ε), not inverted: r = 1/√(σ² + ε)": "你的 r 是 √(σ² + ε)，没有取倒数：r = 1/√(σ² + ε)",
    "you did not subtract the mean: x̂ = (x − μ) r lacks the mean μ": "你没有减去均值：x̂ = (x − μ) r 缺少均值 μ",
    "a sign is wrong: μ is subtracted from x, not added": "符号错了：应从 x 中减去 μ，不是加上",
    "a sign is wrong: μ is subtracted from x, not added, also in the variance":
        "符号错了：应从 x 中减去 μ，不是加上，方差里也是",
    "your x̂ lacks the factor r = 1/√(σ² + ε): it is x − μ alone": "你的 x̂ 缺少因子 r = 1/√(σ² + ε)：只有 x − μ",
    "your y lacks the bias b": "你的 y 缺少偏置 b",
    "your y lacks the weight w": "你的 y 缺少权重 w",
    "you added b before the weight: it is w ⊙ x̂ + b, not w ⊙ (x̂ + b)":
        "你在乘权重之前加了 b：应是 w ⊙ x̂ + b，不是 w ⊙ (x̂ + b)",
    "you multiplied by 1 + w; the weight is w itself": "你乘了 1 + w；权重就是 w 本身",
    "each position of (y − b)/w has mean 0": "(y − b)/w 在每个位置的均值为 0",
    "back through a mean and a variance that depend on x themselves": "反向穿过本身取决于 x 的均值和方差",
    "The gradients of x, w and b are asked for, given dy = ∂loss/∂y. μ and σ² are as in layernorm_forward, and depend on "
    "every x of their position.":
        "要求 x、w 和 b 的梯度，已知 dy = ∂loss/∂y。μ 和 σ² 同 layernorm_forward，取决于该位置的每个 x。",
    "w and b are shared by all positions, so their gradients are sums over B and T: dw = Σ dy ⊙ x̂, db = Σ dy.":
        "所有位置共用 w 和 b，所以它们的梯度是对 B 和 T 的和：dw = Σ dy ⊙ x̂，db = Σ dy。",
    "Compute x̂ and r again as in the forward. Begin with dx̂ = w ⊙ dy. With μ and r held constant, it would be dx = r dx̂.":
        "像正向那样重新算出 x̂ 和 r。从 dx̂ = w ⊙ dy 开始。若 μ 和 r 是常数，就是 dx = r dx̂。",
    "μ depends on every x of its position, which subtracts the mean of dx̂.":
        "μ 取决于该位置的每个 x，因此要减去 dx̂ 的均值。",
    "r depends on every x too, which subtracts x̂ mean(dx̂ ⊙ x̂).": "r 也取决于每个 x，因此要减去 x̂ mean(dx̂ ⊙ x̂)。",
    "dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂ ⊙ x̂)), the means over a position's C channels: dx = r * (d - d.mean(-1, "
    "keepdims=True) - xhat * (d * xhat).mean(-1, keepdims=True)) with d = w * dy.":
        "dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂ ⊙ x̂))，均值对一个位置的 C 个通道求：dx = r * (d - d.mean(-1, "
        "keepdims=True) - xhat * (d * xhat).mean(-1, keepdims=True))，其中 d = w * dy。",
    "your dx lacks the mean of dx̂: μ depends on every x of its position": "你的 dx 缺少 dx̂ 的均值：μ 取决于该位置的每个 x",
    "your dx lacks the term x̂ mean(dx̂ ⊙ x̂): r depends on every x of its position":
        "你的 dx 缺少 x̂ mean(dx̂ ⊙ x̂) 这一项：r 取决于该位置的每个 x",
    "your dx treats μ and r as constants: it lacks both means, which come from how μ and r depend on x":
        "你的 dx 把 μ 和 r 当成了常数：缺少两个均值，它们来自 μ 和 r 对 x 的依赖",
    "your dx lacks the factor r = 1/√(σ² + ε) in front": "你的 dx 前面缺少因子 r = 1/√(σ² + ε)",
    "you divided dx by r; r = 1/√(σ² + ε) is a factor": "你把 dx 除以了 r；r = 1/√(σ² + ε) 是因子",
    "your dx lacks the weight: dx̂ = w ⊙ dy, not dy": "你的 dx 缺少权重：dx̂ = w ⊙ dy，不是 dy",
    "you divided dy by the weight: dx̂ = w ⊙ dy": "你把 dy 除以了权重：dx̂ = w ⊙ dy",
    "you summed over the channels in dx where the mean belongs": "dx 中应取通道的均值，你取了和",
    "you took the means in dx over the wrong axis: over the C channels of a position, the last axis":
        "dx 中求均值的轴不对：应对一个位置的 C 个通道，即最后一个轴",
    "the first mean in your dx is of dy; it should be of dx̂ = w ⊙ dy": "你的 dx 中第一个均值是 dy 的；应是 dx̂ = w ⊙ dy 的",
    "the second mean in your dx is of dy ⊙ x̂; it should be of dx̂ ⊙ x̂, with dx̂ = w ⊙ dy":
        "你的 dx 中第二个均值是 dy ⊙ x̂ 的；应是 dx̂ ⊙ x̂ 的，其中 dx̂ = w ⊙ dy",
    "the second mean in your dx is of dx̂ ⊙ x; it should be of dx̂ ⊙ x̂":
        "你的 dx 中第二个均值是 dx̂ ⊙ x 的；应是 dx̂ ⊙ x̂ 的",
    "your dx lacks the x̂ in front of mean(dx̂ ⊙ x̂)": "你的 dx 在 mean(dx̂ ⊙ x̂) 前面缺少 x̂",
    "the x̂ in your dx stands before the wrong mean: it belongs to mean(dx̂ ⊙ x̂)":
        "你的 dx 中 x̂ 放错了均值：它属于 mean(dx̂ ⊙ x̂)",
    "your dw is made of x; it should be of x̂, which w is multiplied with": "你的 dw 用了 x；应用 x̂，与 w 相乘的是它",
    "your dw has the weight in it: dw = Σ dy ⊙ x̂, not Σ dx̂ ⊙ x̂": "你的 dw 里多了权重：dw = Σ dy ⊙ x̂，不是 Σ dx̂ ⊙ x̂",
    "your db has the weight in it: db = Σ dy, not Σ dx̂": "你的 db 里多了权重：db = Σ dy，不是 Σ dx̂",
    "you summed dw over the wrong axis: it keeps the channels, the last axis, and sums over the positions":
        "dw 求和的轴不对：它保留通道，即最后一个轴，对位置求和",
    "dx sums to 0 over the channels of each position: adding one number to all of them changes no y":
        "dx 在每个位置上对通道之和为 0：给它们都加上同一个数，y 不变",
}
