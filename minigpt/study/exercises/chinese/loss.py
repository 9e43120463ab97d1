"""What loss.py says, in Chinese: {English: Chinese}."""

CHINESE = {
    "from scores to probabilities, row by row": "逐行把分数变成概率",
    "i and j run over the last axis. Large x must not overflow.": "i 和 j 取遍最后一个轴。x 很大时不得溢出。",
    "np.exp(x) gives the numerators. The denominator is their sum along the last axis: one number for each row of C.":
        "np.exp(x) 给出分子。分母是它们沿最后一个轴的和：每行 C 个数对应一个。",
    "sum(-1, keepdims=True) leaves an axis of length 1, so that (B, T, 1) divides (B, T, C).":
        "sum(-1, keepdims=True) 留下长度为 1 的轴，这样 (B, T, 1) 可以去除 (B, T, C)。",
    "exp(1000) is inf. Adding the same number to all x of a row leaves y as it is, so subtract the row's maximum first.":
        "exp(1000) 是 inf。给一行的所有 x 加上同一个数，y 不变，所以先减去该行的最大值。",
    "you summed over the wrong axis: each row along the last axis must sum to 1, and yours does not":
        "求和的轴不对：沿最后一个轴的每一行之和应为 1，你的不是",
    "you summed over the whole array: each row along the last axis must sum to 1 by itself; sum(-1, keepdims=True)":
        "你对整个数组求了和：沿最后一个轴的每一行应各自和为 1；sum(-1, keepdims=True)",
    "you did not divide by the sum of the row": "你没有除以该行之和",
    "your y lacks exp: the numbers themselves may be negative, exp of them is not":
        "你的 y 缺少 exp：数本身可能为负，它们的 exp 不会",
    "your softmax is applied twice": "你做了两次 softmax",
    "you returned the logarithm of the softmax, log_softmax": "你返回的是 softmax 的对数，即 log_softmax",
    "a sign is wrong: you took exp(−x), which gives the largest x the smallest y":
        "符号错了：你取的是 exp(−x)，于是最大的 x 得到最小的 y",
    "your powers are of 2; exp is the power of e = 2.718…": "你的底数是 2；exp 是 e = 2.718… 的幂",
    "you divided x by √C first; that belongs to attention's scores, the softmax itself has no scale":
        "你先把 x 除以了 √C；那属于注意力的分数，softmax 本身没有缩放",
    "that is the sigmoid, 1/(1 + exp(−x)), which looks at each number alone; a softmax compares those of a row":
        "那是 sigmoid，1/(1 + exp(−x))，只看单个数；softmax 比较的是一行中的数",
    "you divided by the length of the row, √Σ exp²; it should be the sum, Σ exp":
        "你除以了该行的长度 √Σ exp²；应除以和 Σ exp",
    "each row of y along the last axis sums to 1": "沿最后一个轴，y 的每一行之和为 1",
    "no y is negative": "y 不会是负数",
    "exp(x) overflows above x = 709; subtract the maximum of the row first, which changes nothing else":
        "x 大于 709 时 exp(x) 溢出；先减去该行的最大值，其余不变",
    "the gradient of the softmax, from its output alone": "只由 softmax 的输出求它的梯度",
    "dx is asked for, the gradient of x, given dy = ∂loss/∂y and the softmax's output y. x itself is not needed.":
        "要求 x 的梯度 dx，已知 dy = ∂loss/∂y 和 softmax 的输出 y。不需要 x 本身。",
    "Every x of a row moves every y of it: ∂y_j/∂x_i = y_j (1 if i = j else 0) − y_i y_j, and dx_i = Σ_j dy_j ∂y_j/∂x_i.":
        "一行中每个 x 都影响该行的每个 y：∂y_j/∂x_i = y_j (i = j 时为 1，否则为 0) − y_i y_j，而 dx_i = Σ_j dy_j "
        "∂y_j/∂x_i。",
    "Substitute the derivative into the sum: dx_i = Σ_j dy_j y_j (1 if i = j else 0) − Σ_j dy_j y_i y_j. In the first sum "
    "only j = i is left: dy_i y_i. In the second y_i does not depend on j and goes in front.":
        "把导数代入求和式：dx_i = Σ_j dy_j y_j (i = j 时为 1，否则为 0) − Σ_j dy_j y_i y_j。第一个和只剩 j = i 一项：dy_i "
        "y_i。第二个和中 y_i 与 j 无关，提到前面。",
    "dx = y ⊙ (dy − Σ_j dy_j y_j), with one sum for each row, along the last axis.":
        "dx = y ⊙ (dy − Σ_j dy_j y_j)，每行一个和，沿最后一个轴。",
    "your dx has only the diagonal of the Jacobian, y (1 − y): every x also lowers the other y of its row":
        "你的 dx 只有雅可比矩阵的对角线 y (1 − y)：每个 x 还会降低同一行的其他 y",
    "your dx lacks the term −y Σ dy ⊙ y: raising one x lowers all the other y of its row":
        "你的 dx 缺少 −y Σ dy ⊙ y 这一项：一个 x 增大，同一行其他的 y 都会降低",
    "dy in its first term, y ⊙ dy": "第一项 y ⊙ dy 中的 dy",
    "your dx lacks the factor y in front: y ⊙ (dy − Σ dy ⊙ y)": "你的 dx 前面缺少因子 y：y ⊙ (dy − Σ dy ⊙ y)",
    "your dx has the factor y twice: y ⊙ (dy − Σ dy ⊙ y)": "你的 dx 多乘了一次 y：y ⊙ (dy − Σ dy ⊙ y)",
    "y is a factor of both terms of dx, also of dy: y ⊙ (dy − Σ dy ⊙ y)":
        "y 是 dx 两项共有的因子，dy 也要乘它：y ⊙ (dy − Σ dy ⊙ y)",
    "the sum in your dx is of dy alone, it should be of dy ⊙ y": "你的 dx 中求和的只是 dy，应是 dy ⊙ y",
    "you took the mean of dy ⊙ y, it should be the sum": "你取了 dy ⊙ y 的均值，应取和",
    "you summed over the wrong axis: Σ dy ⊙ y is one number for each row, along the last axis":
        "求和的轴不对：Σ dy ⊙ y 每行一个数，沿最后一个轴",
    "you took the softmax of y; y is the output of the softmax already": "你又对 y 做了一次 softmax；y 已经是 softmax 的输出",
    "that is the backward of log_softmax; here the output is the softmax itself":
        "那是 log_softmax 的反向；这里的输出是 softmax 本身",
    "each row of dx sums to 0: adding one number to all x of a row changes no y":
        "dx 的每一行之和为 0：给一行的所有 x 加上同一个数，y 不变",
    "the loss: the mean of −log p of the right token": "损失：正确词元的 −log p 的均值",
    "The mean is over all N = B·T positions, in nats. targets[b, t] is the right token at logits[b, t].":
        "对全部 N = B·T 个位置取均值，单位是 nat。targets[b, t] 是 logits[b, t] 处的正确词元。",
    "−log softmax(z)[i] = log Σ_v exp(z_v) − z_i. Written so, no probability has to be computed.":
        "−log softmax(z)[i] = log Σ_v exp(z_v) − z_i。这样写不必计算任何概率。",
    "np.take_along_axis(logits, targets[..., None], -1) picks the target's logit at each position: (B, T, 1).":
        "np.take_along_axis(logits, targets[..., None], -1) 取出每个位置上目标的 logit：(B, T, 1)。",
    "For large logits: log Σ exp(z) = m + log Σ exp(z − m), with m the maximum of the row.":
        "logits 很大时：log Σ exp(z) = m + log Σ exp(z − m)，m 是该行的最大值。",
    "your loss lacks the softmax's denominator, log Σ exp(logits): it is the target's logit alone":
        "你的损失缺少 softmax 的分母 log Σ exp(logits)：只有目标的 logit",
    "your loss lacks the logarithm: it is made of p, not of log p": "你的损失缺少对数：用的是 p，而不是 log p",
    "you took the logarithm of base 2; the loss is in nats, with the natural logarithm":
        "你用了以 2 为底的对数；损失的单位是 nat，用自然对数",
    "you took the logarithm of base 10; the loss is in nats, with the natural logarithm":
        "你用了以 10 为底的对数；损失的单位是 nat，用自然对数",
    "your softmax is over the wrong axis: it belongs along the vocabulary, the last axis":
        "你的 softmax 的轴不对：应沿词表，即最后一个轴",
    "your softmax is applied twice: the logits go through it once": "你做了两次 softmax：logits 只需做一次",
    "you took the log of the mean p; the loss is the mean of the logs": "你取了 p 的均值的对数；损失是对数的均值",
    "you took the mean over all tokens of the vocabulary; of each row only the target's counts":
        "你对词表中的所有词元取了均值；每行只算目标那一个",
    "you took the likeliest token, argmax, where the right one belongs: targets says which that is":
        "你取了最可能的词元（argmax），而应取正确的那个：由 targets 指出",
    "you shifted the targets by one position; here they are the next tokens already: targets[b, t] is for logits[b, t]":
        "你把目标错开了一位；这里的目标已经是下一个词元：targets[b, t] 对应 logits[b, t]",
    "your loss is of the last position alone: every position counts": "你的损失只算了最后一个位置：每个位置都要算",
    "you returned the perplexity, exp of the loss": "你返回的是困惑度，即损失的 exp",
    "you weighted log p with p, which is the entropy of what the model believes; here the weight is 1 at the target":
        "你用 p 给 log p 加权，得到的是模型所信的熵；这里目标处的权重是 1",
    "the loss is never negative: no p is above 1": "损失不会是负数：没有大于 1 的 p",
    "exp overflows above 709, and a p that underflows to 0 has log 0 = −∞; subtract the maximum of the row, and compute "
    "log Σ exp(z) − z[target] instead of the log of p":
        "大于 709 时 exp 溢出，而下溢为 0 的 p 有 log 0 = −∞；先减去该行的最大值，并计算 log Σ exp(z) − z[target]，而不是 "
        "p 的对数",
    "where the backward pass begins: the gradient of the loss with respect to the logits":
        "反向传播从这里开始：损失对 logits 的梯度",
    "dlogits = ∂loss/∂logits is asked for, at every position and for every token of the vocabulary.":
        "要求 dlogits = ∂loss/∂logits，每个位置、词表中每个词元都要。",
    "At one position loss = log Σ_v exp(z_v) − z_i with i the target. The derivative of the first term with respect to z_v "
    "is exp(z_v)/Σ exp(z) = p_v.":
        "在一个位置上 loss = log Σ_v exp(z_v) − z_i，i 为目标。第一项对 z_v 的导数是 exp(z_v)/Σ exp(z) = p_v。",
    "The second term, −z_i, adds −1 to the gradient of the target's logit and nothing to the others.":
        "第二项 −z_i 给目标的 logit 的梯度加上 −1，对其他的没有贡献。",
    "dlogits = (softmax(logits) − onehot(targets))/N. np.eye(V)[targets] is onehot(targets), (B, T, V). The mean over N "
    "positions divides all of it by N.":
        "dlogits = (softmax(logits) − onehot(targets))/N。np.eye(V)[targets] 就是 onehot(targets)，(B, T, V)。对 N "
        "个位置取均值，全部要除以 N。",
    "your dlogits lacks −1 at the target: it is softmax(logits)/N alone":
        "你的 dlogits 在目标处缺少 −1：只有 softmax(logits)/N",
    "your dlogits lacks the softmax: all logits of a position move the loss, not the target's alone":
        "你的 dlogits 缺少 softmax：一个位置的所有 logits 都影响损失，不只是目标的",
    "this is the gradient with respect to the probabilities, −1/p at the target; the exercise asks for the logits, on the "
    "other side of the softmax":
        "这是对概率的梯度，目标处为 −1/p；本题要的是对 logits 的，在 softmax 的另一侧",
    "a sign is wrong: you added 1 at the target where it is subtracted": "符号错了：目标处应减 1，你加了 1",
    "you divided the softmax by N but not the 1 that is subtracted at the target":
        "你把 softmax 除以了 N，但目标处减去的 1 没有除",
    "you divided the 1 at the target by N but not the softmax": "你把目标处的 1 除以了 N，但 softmax 没有除",
    "you took log p where p itself belongs: the derivative of log Σ exp(z) is the softmax":
        "你用了 log p，应当用 p 本身：log Σ exp(z) 的导数是 softmax",
    "your dlogits lacks the softmax: it has the logits themselves in its place":
        "你的 dlogits 缺少 softmax：在它的位置上是 logits 本身",
    "you subtracted 1 in every row at the targets of all positions; each row has one target, its own":
        "你在每一行都对所有位置的目标减了 1；每行只有一个目标，即它自己的",
    "you wrote −1 over the softmax at the target; it is subtracted there, p − 1":
        "你在目标处用 −1 盖掉了 softmax；应是减去，p − 1",
    "you went back through the softmax once too often: softmax − onehot is the gradient of the logits already":
        "你多做了一次 softmax 的反向：softmax − onehot 已经是对 logits 的梯度",
    "each row of dlogits sums to 0: the probabilities of a row sum to 1, and so does onehot":
        "dlogits 的每一行之和为 0：一行的概率之和为 1，onehot 也是",
    "exp overflows above 709; subtract the maximum of the row before exp":
        "大于 709 时 exp 溢出；在 exp 之前减去该行的最大值",
}
