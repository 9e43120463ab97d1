"""What optimizers.py says, in Chinese: {English: Chinese}."""

CHINESE = {
    "from a gradient to new weights": "从梯度到新的权重",
    "A step of AdamW is asked for instead. m and v are running means of g and of g², elementwise: at each step the new one "
    "counts 1 − β₁ (for v 1 − β₂), and what was there the rest. They were 0 before the first step, so they are too small; m̂ "
    "and v̂ are m and v divided by what a mean of nothing but ones would have come to after t steps. In place of g stands m̂ "
    "in units of the root of v̂, to which ε is added. Besides, every weight loses the share η λ of itself, of which m and v "
    "know nothing. η is lr, λ weight_decay, ε eps, and t counts the steps from 1. Returns new arrays.":
        "要写的是 AdamW 的一步。m 和 v 是 g 和 g² 的滑动平均，逐元素：每一步新的那个占 1 − β₁（v 占 1 − β₂），原有的占其余部"
        "分。第一步之前它们是 0，所以偏小；m̂ 和 v̂ 是 m 和 v 除以一个数：如果每一步来的都是 1，t 步之后的平均是多少，就除以"
        "多少。代替 g 的是以 v̂ 的平方根为单位的 m̂，这个根要加上 ε。此外，每个权重自身减少 η λ 这么大的比例，这与 m 和 v 无"
        "关。η 是 lr，λ 是 weight_decay，ε 是 eps，t 从 1 开始数步数。返回新数组。",
    "m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g². Write m = beta1 * m + …, which makes a new array.":
        "m ← β₁ m + (1 − β₁) g，v ← β₂ v + (1 − β₂) g²。写成 m = beta1 * m + …，这样得到新数组。",
    "Of ones alone the mean is (1 − β)(1 + β + … + βᵗ⁻¹) = 1 − βᵗ after t steps, so m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ). "
    "They are used for w but not returned.":
        "如果来的都是 1，t 步之后的平均是 (1 − β)(1 + β + … + βᵗ⁻¹) = 1 − βᵗ，所以 m̂ = m/(1 − β₁ᵗ)，v̂ = v/(1 − β₂ᵗ)。"
        "它们只用于 w，不返回。",
    "The decay acts on w itself, by lr · weight_decay, and takes no part in m and v: that is the W in AdamW.":
        "衰减作用于 w 本身，大小为 lr · weight_decay，不进入 m 和 v：这就是 AdamW 中的 W。",
    "w = w - lr * weight_decay * w - lr * mhat / (np.sqrt(vhat) + eps), with the w of before on the right.":
        "w = w - lr * weight_decay * w - lr * mhat / (np.sqrt(vhat) + eps)，右边的 w 是更新之前的。",
    "your w lacks the bias corrections m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ)":
        "你的 w 缺少偏差修正 m̂ = m/(1 − β₁ᵗ) 和 v̂ = v/(1 − β₂ᵗ)",
    "your w lacks the bias correction m̂ = m/(1 − β₁ᵗ)": "你的 w 缺少偏差修正 m̂ = m/(1 − β₁ᵗ)",
    "your w lacks the bias correction v̂ = v/(1 − β₂ᵗ)": "你的 w 缺少偏差修正 v̂ = v/(1 − β₂ᵗ)",
    "your bias corrections count one step too many: t is 1 at the first step already":
        "你的偏差修正多数了一步：第一步时 t 已经是 1",
    "your bias corrections count one step too few: t is 1 at the first step, so the power is βᵗ itself":
        "你的偏差修正少数了一步：第一步时 t 是 1，所以就是 βᵗ",
    "your bias corrections multiply β by t; it is the power, βᵗ": "你的偏差修正把 β 乘了 t；应是幂 βᵗ",
    "your w lacks the root: it divides by √v̂ + ε": "你的 w 缺少开方：应除以 √v̂ + ε",
    "you took the root before the bias correction: it is √v̂ with v̂ = v/(1 − β₂ᵗ)":
        "你在偏差修正之前开了方：应是 √v̂，其中 v̂ = v/(1 − β₂ᵗ)",
    "your ε stands inside the root; Adam's stands outside, √v̂ + ε": "你的 ε 在根号里；Adam 的在根号外，√v̂ + ε",
    "ε: it divides by √v̂ + ε": "ε：应除以 √v̂ + ε",
    "your w lacks the weight decay, − η λ w": "你的 w 缺少权重衰减 − η λ w",
    "your weight decay lacks the learning rate: it is η λ w": "你的权重衰减缺少学习率：应是 η λ w",
    "your weight decay lacks w: it is η λ w, in proportion to each weight":
        "你的权重衰减缺少 w：应是 η λ w，与每个权重成正比",
    "your decay acts on the w that the step has changed already; it is η λ w of the old w":
        "你的衰减作用在已经更新过的 w 上；应是旧的 w 的 η λ w",
    "you added the decay to the gradient, as in Adam with L2; in AdamW it acts on w alone":
        "你把衰减加到了梯度上，那是带 L2 的 Adam；AdamW 中它只作用于 w",
    "your w goes uphill: the update is subtracted": "你的 w 在往上坡走：更新量应当减去",
    "the learning rate in front of m̂/(√v̂ + ε)": "m̂/(√v̂ + ε) 前面的学习率",
    "your update has the sign of m̂ alone; it is m̂/(√v̂ + ε)": "你的更新量只有 m̂ 的符号；应是 m̂/(√v̂ + ε)",
    "your update is made of g; it is made of m̂, the running mean": "你的更新量用了 g；应用 m̂，即滑动平均",
    "your update is made of the m of the step before: first update m, then w": "你的更新量用了上一步的 m：先更新 m，再更新 w",
    "your update is made of the v of the step before: first update v, then w": "你的更新量用了上一步的 v：先更新 v，再更新 w",
    "you returned the change of w; it should be added to w": "你返回的是 w 的变化量；应把它加到 w 上",
    "your m lacks the factor (1 − β₁) of g": "你的 m 中 g 缺少因子 (1 − β₁)",
    "your m has β₁ and 1 − β₁ the wrong way round: β₁ belongs to the old m": "你的 m 中 β₁ 和 1 − β₁ 用反了：β₁ 属于旧的 m",
    "you returned m̂; what is kept for the next step is m": "你返回的是 m̂；留给下一步的是 m",
    "you returned the old m": "你返回的是旧的 m",
    "your v lacks the factor (1 − β₂) of g²": "你的 v 中 g² 缺少因子 (1 − β₂)",
    "your v has β₂ and 1 − β₂ the wrong way round: β₂ belongs to the old v": "你的 v 中 β₂ 和 1 − β₂ 用反了：β₂ 属于旧的 v",
    "your v has 1 − β₁ in front of g²; it is 1 − β₂": "你的 v 中 g² 前面是 1 − β₁；应是 1 − β₂",
    "your v is made of g; it is the running mean of g²": "你的 v 用了 g；它是 g² 的滑动平均",
    "you returned v̂; what is kept for the next step is v": "你返回的是 v̂；留给下一步的是 v",
    "you returned the old v": "你返回的是旧的 v",
    "Muon's update: a matrix made nearly orthogonal by Newton–Schulz steps, without an SVD":
        "Muon 的更新：用 Newton–Schulz 迭代把矩阵变得近乎正交，不用 SVD",
    "‖x‖ is the root of the sum of all squares, so no singular value σ is above 1. p acts on each of them, `steps` times; "
    "each time they come nearer to 1, while the directions U and V stay. Work without them, by matrix products with y alone: "
    "a product costs far less than an SVD.":
        "‖x‖ 是所有元素平方和的平方根，所以没有大于 1 的奇异值 σ。p 作用于每个奇异值，共 steps 次；每一次它们都更接近 1，"
        "方向 U 和 V 不变。请不用 U 和 V，只用 y 的矩阵乘积来做：乘积比 SVD 便宜得多。",
    "np.linalg.norm(x) is √Σ x². After the division no singular value is above 1, which the steps need.":
        "np.linalg.norm(x) 就是 √Σ x²。除过之后没有大于 1 的奇异值，迭代需要这一点。",
    "With y = U S Vᵀ and G = y yᵀ = U S² Uᵀ the odd powers are products: G y = U S³ Vᵀ, G² y = U S⁵ Vᵀ. G = y @ y.T is new "
    "in each step, and G² is the matrix product G @ G.":
        "设 y = U S Vᵀ，G = y yᵀ = U S² Uᵀ，奇数次幂就是乘积：G y = U S³ Vᵀ，G² y = U S⁵ Vᵀ。每一步的 G = y @ y.T 都是新的，"
        "G² 是矩阵乘积 G @ G。",
    "y = a * y + (b * gram + c * gram @ gram) @ y, as often as steps says.":
        "y = a * y + (b * gram + c * gram @ gram) @ y，重复 steps 次。",
    "you did not divide by the norm first: with singular values above 1 the steps do not converge":
        "你没有先除以范数：奇异值大于 1 时迭代不收敛",
    "you divided by another norm: it is the root of the sum of all squares, np.linalg.norm(x)":
        "你除以了别的范数：应是所有元素平方和的平方根，np.linalg.norm(x)",
    "you divided by the sum of all squares; it is its root, np.linalg.norm(x)":
        "你除以了平方和；应是它的平方根，np.linalg.norm(x)",
    "you divided each row by its own norm; it is one norm for the whole matrix":
        "你把每一行除以了它自己的范数；整个矩阵用一个范数",
    "you divided each column by its own norm; it is one norm for the whole matrix":
        "你把每一列除以了它自己的范数；整个矩阵用一个范数",
    "the term a y": "a y 这一项",
    "the factor a of its first term, a y": "第一项 a y 中的因子 a",
    "a sign is wrong: b is negative, −4.7750": "符号错了：b 是负的，−4.7750",
    "the term c G² y": "c G² y 这一项",
    "a sign is wrong: c is positive, 2.0315": "符号错了：c 是正的，2.0315",
    "b and c have changed places: b G + c G²": "b 和 c 互换了位置：b G + c G²",
    "you squared the elements of G; G² is the matrix product G @ G": "你把 G 的元素平方了；G² 是矩阵乘积 G @ G",
    "your G is that of the first step: it is made anew from each y": "你的 G 是第一步的：每一步都要由 y 重新计算",
    "you made one step too few": "你少做了一步",
    "you made one step too many": "你多做了一步",
    "this is U Vᵀ exactly, from the SVD; a few Newton–Schulz steps come near it, and are what is asked for":
        "这是由 SVD 得到的精确的 U Vᵀ；要求的是几步 Newton–Schulz 迭代，它接近这个结果",
    "you multiplied by Muon's factor 0.2 √max(rows, columns) already; that comes after this function":
        "你已经乘了 Muon 的因子 0.2 √max(rows, columns)；那在这个函数之后才乘",
}
