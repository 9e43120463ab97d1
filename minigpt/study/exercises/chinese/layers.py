"""What layers.py says, in Chinese: {English: Chinese}."""

CHINESE = {
    "the three gradients of a matrix product": "矩阵乘积的三个梯度",
    "The gradients of x, W and b are asked for, given dy = ∂loss/∂y. All positions share W and b.":
        "要求 x、W 和 b 的梯度，已知 dy = ∂loss/∂y。所有位置共用 W 和 b。",
    "The shapes tell the formula: dx is shaped like x, (B, T, Cin), and made of dy (B, T, Cout) and w (Cin, Cout).":
        "形状会告诉你公式：dx 的形状同 x，(B, T, Cin)，由 dy (B, T, Cout) 和 w (Cin, Cout) 构成。",
    "All positions share w and b, so each adds its part: flatten to N = B·T rows with x.reshape(-1, x.shape[-1]).":
        "所有位置共用 w 和 b，所以各自加上一份：用 x.reshape(-1, x.shape[-1]) 展平成 N = B·T 行。",
    "dx = dy Wᵀ, dW = Σ xᵀ dy, db = Σ dy: dx = dy @ w.T and, with x and dy flattened, dw = x.T @ dy and db = dy.sum(0).":
        "dx = dy Wᵀ，dW = Σ xᵀ dy，db = Σ dy：dx = dy @ w.T；把 x 和 dy 展平后，dw = x.T @ dy，db = dy.sum(0)。",
    "your dw holds the last sequence of the batch alone: add up the parts of all (+=, not =)":
        "你的 dw 只有批次中的最后一个序列：把所有序列的份加起来（用 +=，不是 =）",
    "your dw holds the first sequence of the batch alone: add up the parts of all":
        "你的 dw 只有批次中的第一个序列：把所有序列的份加起来",
    "your dw comes from x.reshape(Cin, N), which cuts the numbers anew; what is needed is the transpose of (N, Cin)":
        "你的 dw 用了 x.reshape(Cin, N)，那是把数重新切分；需要的是 (N, Cin) 的转置",
    "your dw has w itself in it: begin from zeros": "你的 dw 里混入了 w 本身：应从零开始",
    "you summed db over the wrong axis: it keeps the channels, the last axis, and sums over the positions":
        "db 求和的轴不对：它保留通道，即最后一个轴，对位置求和",
    "your db holds the last sequence of the batch alone: it sums over all positions":
        "你的 db 只有批次中的最后一个序列：要对所有位置求和",
    "your db sums x; it should sum dy": "你的 db 对 x 求了和；应对 dy 求和",
    "the gradient of GPT-2's activation function": "GPT-2 的激活函数的梯度",
    "dx is asked for, given dy = ∂loss/∂y. Each y depends on its own x alone.":
        "要求 dx，已知 dy = ∂loss/∂y。每个 y 只取决于它自己的 x。",
    "By the chain rule dx = dy ⊙ dy/dx. y is a product of ½ x and 1 + tanh u, and both depend on x: the product rule gives "
    "two terms.":
        "由链式法则 dx = dy ⊙ dy/dx。y 是 ½ x 与 1 + tanh u 的乘积，两者都取决于 x：乘积法则给出两项。",
    "The derivative of tanh u with respect to u is 1 − tanh² u; the chain rule multiplies it by u', that of u with respect "
    "to x.":
        "tanh u 对 u 的导数是 1 − tanh² u；链式法则再乘上 u'，即 u 对 x 的导数。",
    "u' = √(2/π) (1 + 3 · 0.044715 x²), and dx = dy ⊙ (½ (1 + tanh u) + ½ x (1 − tanh² u) u').":
        "u' = √(2/π) (1 + 3 · 0.044715 x²)，于是 dx = dy ⊙ (½ (1 + tanh u) + ½ x (1 − tanh² u) u')。",
    "you forgot the chain rule's dy: this is the slope of GELU alone": "你忘了链式法则中的 dy：这只是 GELU 的斜率",
    "you added dy to the slope; the chain rule multiplies": "你把 dy 加到了斜率上；链式法则是相乘",
    "the second term of the product rule, ½ x (1 − tanh² u) u'": "乘积法则的第二项 ½ x (1 − tanh² u) u'",
    "the first term of the product rule, ½ (1 + tanh u)": "乘积法则的第一项 ½ (1 + tanh u)",
    "u', the derivative of what stands inside tanh": "u'，即 tanh 里面那个式子的导数",
    "the factor x of the second term, ½ x (1 − tanh² u) u'": "第二项 ½ x (1 − tanh² u) u' 中的因子 x",
    "the ½ in its first term, ½ (1 + tanh u)": "第一项 ½ (1 + tanh u) 中的 ½",
    "the ½ in its second term, ½ x (1 − tanh² u) u'": "第二项 ½ x (1 − tanh² u) u' 中的 ½",
    "the 1 in its first term, ½ (1 + tanh u)": "第一项 ½ (1 + tanh u) 中的 1",
    "your u' lacks the 3: the derivative of x³ is 3 x²": "你的 u' 缺少 3：x³ 的导数是 3 x²",
    "your u' lacks the 1, the derivative of x": "你的 u' 缺少 1，即 x 的导数",
    "your u' lacks the factor √(2/π)": "你的 u' 缺少因子 √(2/π)",
    "your u lacks the factor √(2/π)": "你的 u 缺少因子 √(2/π)",
    "your √(2/π) lacks the root": "你的 √(2/π) 没有开方",
    "you took √(π/2); it is √(2/π)": "你用了 √(π/2)；应是 √(2/π)",
    "your u has x² where x³ belongs": "你的 u 里是 x²，应是 x³",
    "your u lacks 0.044715 x³": "你的 u 缺少 0.044715 x³",
    "the derivative of tanh u is 1 − tanh² u, yours is 1 − tanh u": "tanh u 的导数是 1 − tanh² u，你的是 1 − tanh u",
    "a sign is wrong: the derivative of tanh u is 1 − tanh² u, yours is 1 + tanh² u":
        "符号错了：tanh u 的导数是 1 − tanh² u，你的是 1 + tanh² u",
    "the derivative of tanh u is 1 − tanh² u, yours is its root: 1/cosh u instead of 1/cosh² u":
        "tanh u 的导数是 1 − tanh² u，你的是它的平方根：1/cosh u，而不是 1/cosh² u",
    "you multiplied dy by GELU itself, the forward; what is needed is its slope dy/dx":
        "你把 dy 乘上了 GELU 本身，那是正向；需要的是它的斜率 dy/dx",
    "this is the gradient of the exact GELU, with erf; GPT-2 has the tanh form":
        "这是精确 GELU（用 erf）的梯度；GPT-2 用的是 tanh 形式",
    "this is the gradient of the quick GELU, x σ(1.702 x); GPT-2 has the tanh form":
        "这是快速 GELU，即 x σ(1.702 x) 的梯度；GPT-2 用的是 tanh 形式",
    "this is the gradient of ReLU, 1 or 0; GPT-2 has GELU": "这是 ReLU 的梯度，1 或 0；GPT-2 用的是 GELU",
    "some elements are set to 0 at random while training, the others scaled up": "训练时随机把一些元素设为 0，其余的放大",
    "u holds random numbers, uniform between 0 and 1: an element goes where u < p. Scale what stays so that the expected "
    "value of y is x.":
        "u 是 0 到 1 之间均匀分布的随机数：u < p 的元素去掉。放大留下的元素，使 y 的期望值等于 x。",
    "u >= p is true where an element stays, an array of booleans that can be multiplied.":
        "元素留下时 u >= p 为真，这是一个可以相乘的布尔数组。",
    "An element stays with probability 1 − p, so the expected value of x ⊙ (u ≥ p) is (1 − p) x.":
        "一个元素留下的概率是 1 − p，所以 x ⊙ (u ≥ p) 的期望值是 (1 − p) x。",
    "what stays lacks the factor 1/(1 − p), without which the expected value shrinks":
        "留下的元素缺少因子 1/(1 − p)，没有它期望值会变小",
    "you multiplied what stays by 1 − p; it is divided, so that the expected value is the same as without dropout":
        "你把留下的元素乘了 1 − p；应当除以它，期望值才与没有 dropout 时相同",
    "you divided by p, the share that goes; 1 − p is the share that stays":
        "你除以了 p，那是去掉的比例；1 − p 才是留下的比例",
    "you scaled what stays twice: the factor 1/(1 − p) is in m already": "你把留下的元素放大了两次：m 中已经有因子 1/(1 − p)",
    "you dropped nothing: an element goes where u < p": "你什么也没去掉：u < p 的元素要去掉",
    "you dropped what should stay: an element goes where u < p": "你去掉了应留下的：u < p 的元素才去掉",
    "you dropped whole channels: each element has its own u": "你去掉了整条通道：每个元素有自己的 u",
    "m, which is 0 where u < p": "m，在 u < p 处为 0",
    "back through dropout, with the random numbers of the forward": "dropout 的反向，用正向时的随机数",
    "dx is asked for, given dy = ∂loss/∂y and the forward's own u.": "要求 dx，已知 dy = ∂loss/∂y 和正向所用的 u。",
    "An element that was dropped did not move y, so its gradient is 0: the same elements go as in the forward.":
        "被去掉的元素没有影响 y，梯度为 0：去掉的是与正向相同的元素。",
    "An element that stayed was multiplied by 1/(1 − p), and that is its slope.":
        "留下的元素乘过 1/(1 − p)，那就是它的斜率。",
}
