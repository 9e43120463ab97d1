"""What attention.py says, in Chinese: {English: Chinese}."""

CHINESE = {
    "each position averages the values of those before it, weighted by how well query and key match":
        "每个位置对它之前的值取平均，按查询与键的匹配程度加权",
    "A score is −∞ where key j comes after query t (j > t).": "键 j 在查询 t 之后（j > t）时，分数为 −∞。",
    "k.swapaxes(-1, -2) is Kᵀ for every sequence of the batch; k.T would also turn the batch around. Scores are (B, T, T).":
        "k.swapaxes(-1, -2) 对批次中每个序列给出 Kᵀ；k.T 会把批次也转过来。分数是 (B, T, T)。",
    "np.where(np.tri(T) == 1, scores, -np.inf) hides the future: row t keeps the columns 0 … t.":
        "np.where(np.tri(T) == 1, scores, -np.inf) 遮住未来：第 t 行保留第 0 … t 列。",
    "The softmax is along the last axis, over the keys: subtract the row's maximum, exp, divide by the row's sum.":
        "softmax 沿最后一个轴，即对键：减去该行的最大值，取 exp，除以该行之和。",
    "your scores lack the factor 1/√D: the softmax is of Q Kᵀ/√D": "你的分数缺少因子 1/√D：softmax 作用于 Q Kᵀ/√D",
    "your scores are divided by D; it should be √D": "你的分数除以了 D；应除以 √D",
    "your scores are multiplied by √D; they should be divided by it": "你的分数乘了 √D；应除以它",
    "your softmax is over the wrong axis: for each query it is over the keys, the last axis of the scores":
        "你的 softmax 的轴不对：对每个查询，应沿键，即分数的最后一个轴",
    "your softmax is applied twice: the scores go through it once": "你做了两次 softmax：分数只需做一次",
    "you did not divide exp by the sum of its row: the weights of a query must sum to 1":
        "你没有把 exp 除以该行之和：一个查询的权重之和应为 1",
    "your att lacks the softmax: these are the scores themselves": "你的 att 缺少 softmax：这是分数本身",
    "your scores are divided by √T, the root of the number of queries; it should be √D, of the channels":
        "你的分数除以了 √T，查询个数的平方根；应是 √D，通道数的平方根",
    "your att lacks the mask: scores of keys that a query must not see are −∞":
        "你的 att 缺少掩码：查询不该看到的键，分数为 −∞",
    "you set hidden entries of att to 0 after the softmax, so its rows no longer sum to 1: set the scores to −∞ before it":
        "你在 softmax 之后才把要遮住的 att 设为 0，于是各行之和不再为 1：应在它之前把分数设为 −∞",
    "your mask sets scores to 0, which still gets a weight, exp(0) = 1: it must be −∞":
        "你的掩码把分数设为 0，那仍有权重，exp(0) = 1：应为 −∞",
    "your mask sets scores to −1, which still gets a weight, exp(−1) = 0.37: it must be −∞":
        "你的掩码把分数设为 −1，那仍有权重，exp(−1) = 0.37：应为 −∞",
    "you added the mask of 1 and 0 to the scores, so hidden keys still get a weight: hidden scores must be −∞":
        "你把 1 和 0 的掩码加到了分数上，遮住的键仍有权重：遮住的分数应为 −∞",
    "your mask is the wrong way round: it hides the past and shows the future": "你的掩码方向反了：它遮住了过去，露出了未来",
    "your mask shows one key too many: position t sees the keys 0 … t, also itself, but not t + 1":
        "你的掩码多露出了一个键：位置 t 能看到键 0 … t，包括自己，但看不到 t + 1",
    "your mask hides the position itself: position t sees the keys 0 … t, t included":
        "你的掩码遮住了位置自己：位置 t 能看到键 0 … t，包括 t",
    "you multiplied by the transpose of att: o = att V": "你乘了 att 的转置：o = att V",
    "you averaged the keys: o = att V, of the values": "你对键取了平均：o = att V，对值取",
    "the rows of att sum to 1": "att 的每一行之和为 1",
    "att is 0 where the key comes after the query": "键在查询之后时 att 为 0",
    "exp overflows above 709; subtract the maximum of each row of the scores before exp":
        "大于 709 时 exp 溢出；在 exp 之前减去分数每一行的最大值",
    "back through two matrix products and the softmax between them": "反向穿过两个矩阵乘积和它们之间的 softmax",
    "The gradients of q, k and v are asked for, given do = ∂loss/∂o. A score is −∞ where key j comes after query t.":
        "要求 q、k 和 v 的梯度，已知 do = ∂loss/∂o。键 j 在查询 t 之后时，分数为 −∞。",
    "Compute att again as in attention_forward: Q Kᵀ/√D, the mask, the softmax. It is (B, T, T).":
        "像 attention_forward 那样重新算出 att：Q Kᵀ/√D，掩码，softmax。它是 (B, T, T)。",
    "A score of −∞ hides a key: np.where(np.tri(T) == 1, scores, -np.inf), before the softmax. Back it needs no more care, "
    "since att is 0 there.":
        "分数为 −∞ 就遮住了键：在 softmax 之前 np.where(np.tri(T) == 1, scores, -np.inf)。反向时不必再管它，因为那里 att "
        "为 0。",
    "o = att V is a matrix product like y = x W: one gradient is dO times the other factor transposed. So datt = do @ "
    "v.swapaxes(-1, -2) and dv = att.swapaxes(-1, -2) @ do.":
        "o = att V 是矩阵乘积，和 y = x W 一样：一个梯度是 dO 乘另一个因子的转置。所以 datt = do @ v.swapaxes(-1, -2)，dv "
        "= att.swapaxes(-1, -2) @ do。",
    "Through the softmax, row by row, as in softmax_backward: dscores = att ⊙ (datt − Σ_j datt ⊙ att), att * (datt - (datt "
    "* att).sum(-1, keepdims=True)).":
        "逐行穿过 softmax，同 softmax_backward：dscores = att ⊙ (datt − Σ_j datt ⊙ att)，即 att * (datt - (datt * "
        "att).sum(-1, keepdims=True))。",
    "scores = Q Kᵀ/√D is a product again: dq = dscores @ k / sqrt(D) and dk = dscores.swapaxes(-1, -2) @ q / sqrt(D).":
        "scores = Q Kᵀ/√D 又是乘积：dq = dscores @ k / sqrt(D)，dk = dscores.swapaxes(-1, -2) @ q / sqrt(D)。",
    "your dscores lacks the sum: back through the softmax it is att ⊙ (datt − Σ_j datt ⊙ att)":
        "你的 dscores 缺少求和项：穿过 softmax 后是 att ⊙ (datt − Σ_j datt ⊙ att)",
    "your dscores lacks its first term, att ⊙ datt": "你的 dscores 缺少第一项 att ⊙ datt",
    "a sign is wrong in your dscores: att Σ_j datt ⊙ att is subtracted, not added":
        "你的 dscores 有一个符号错了：att Σ_j datt ⊙ att 是减去，不是加上",
    "you took the mean of datt ⊙ att in dscores, it should be the sum": "dscores 中你取了 datt ⊙ att 的均值，应取和",
    "the sum in your dscores is of datt alone, it should be of datt ⊙ att": "你的 dscores 中求和的只是 datt，应是 datt ⊙ att",
    "your dscores has only the diagonal of the softmax's Jacobian, att (1 − att): it is att ⊙ (datt − Σ_j datt ⊙ att)":
        "你的 dscores 只有 softmax 的雅可比矩阵的对角线 att (1 − att)：应是 att ⊙ (datt − Σ_j datt ⊙ att)",
    "your dscores lacks the factor att in front: it is att ⊙ (datt − Σ_j datt ⊙ att)":
        "你的 dscores 前面缺少因子 att：应是 att ⊙ (datt − Σ_j datt ⊙ att)",
    "in your dscores datt and att have changed places: it is att ⊙ (datt − Σ_j datt ⊙ att)":
        "你的 dscores 中 datt 和 att 互换了位置：应是 att ⊙ (datt − Σ_j datt ⊙ att)",
    "you summed datt ⊙ att over the wrong axis: for each query over the keys, the last axis":
        "datt ⊙ att 求和的轴不对：对每个查询，应沿键，即最后一个轴",
    "your dscores stops before the softmax: datt is the gradient of att, not of the scores":
        "你的 dscores 停在了 softmax 之前：datt 是 att 的梯度，不是分数的",
    "your dscores went back through the softmax twice": "你的 dscores 做了两次 softmax 的反向",
    "your datt is transposed: datt = dO Vᵀ": "你的 datt 转置了：datt = dO Vᵀ",
    "your datt is made of v alone: datt = dO Vᵀ": "你的 datt 只由 v 构成：datt = dO Vᵀ",
    "your dq has dscores transposed: dQ = dscores K/√D": "你的 dq 中 dscores 转置了：dQ = dscores K/√D",
    "your dq is made of q: dQ = dscores K/√D, with the other factor": "你的 dq 用了 q：dQ = dscores K/√D，要用另一个因子",
    "your dq is made of v: dQ = dscores K/√D, with the other factor of the scores":
        "你的 dq 用了 v：dQ = dscores K/√D，要用分数的另一个因子",
    "your dk lacks the transpose: dK = dscoresᵀ Q/√D": "你的 dk 缺少转置：dK = dscoresᵀ Q/√D",
    "your dk is made of k: dK = dscoresᵀ Q/√D, with the other factor": "你的 dk 用了 k：dK = dscoresᵀ Q/√D，要用另一个因子",
    "your dk is made of v: dK = dscoresᵀ Q/√D, with the other factor of the scores":
        "你的 dk 用了 v：dK = dscoresᵀ Q/√D，要用分数的另一个因子",
    "your dv lacks the transpose: dV = attᵀ dO": "你的 dv 缺少转置：dV = attᵀ dO",
    "your dv is made of v: dV = attᵀ dO": "你的 dv 用了 v：dV = attᵀ dO",
    "your dv is made of datt: dV = attᵀ dO": "你的 dv 用了 datt：dV = attᵀ dO",
    "the rows of dscores sum to 0: adding one number to all scores of a query changes no att":
        "dscores 的每一行之和为 0：给一个查询的所有分数加上同一个数，att 不变",
    "dscores is 0 where the key comes after the query": "键在查询之后时 dscores 为 0",
    "the sum of dv over the positions is that of do, since the rows of att sum to 1":
        "dv 对位置之和等于 do 对位置之和，因为 att 的每一行之和为 1",
}
