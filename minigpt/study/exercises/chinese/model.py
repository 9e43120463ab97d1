"""What model.py says, in Chinese: {English: Chinese}."""

CHINESE = {
    "a whole block: two branches and the residual stream that goes past them": "整个块：两条分支，以及从旁边经过的残差流",
    "The forward has run on s. minigpt.nn has the backward of each part, to be called as\nlayernorm_backward(d, "
    "s.at(\"ln_1\")), multihead_backward(d, s.at(\"attn\")), layernorm_backward(d, s.at(\"ln_2\")),\nmlp_backward(d, "
    "s.at(\"mlp\")). There is no dropout here.":
        "正向已在 s 上运行过。minigpt.nn 有各部分的反向，这样调用：\nlayernorm_backward(d, s.at(\"ln_1\"))、"
        "multihead_backward(d, s.at(\"attn\"))、layernorm_backward(d, s.at(\"ln_2\"))、\nmlp_backward(d, s.at(\"mlp\"))。"
        "这里没有 dropout。",
    "Begin at the end, with y = m + mlp(ln_2(m)). m goes two ways, so its gradient is the sum of what comes back on both.":
        "从末尾 y = m + mlp(ln_2(m)) 开始。m 走两条路，所以它的梯度是两条路传回来的之和。",
    "Back through mlp(ln_2(m)): last comes mlp, so first mlp_backward, then layernorm_backward. dm = dy + that.":
        "反向穿过 mlp(ln_2(m))：mlp 在最后，所以先 mlp_backward，再 layernorm_backward。dm = dy + 这个结果。",
    "The same again with m = x + attn(ln_1(x)), where what arrives is dm, no longer dy.":
        "对 m = x + attn(ln_1(x)) 再来一遍，这时到达的是 dm，不再是 dy。",
    "your dx lacks the residual stream: y = m + …, so dy also goes past each branch unchanged; dm = dy + …":
        "你的 dx 缺少残差流：y = m + …，dy 也原样从每条分支旁边经过；dm = dy + …",
    "your dx lacks the way past the MLP: dm = dy + what comes back through mlp and ln_2":
        "你的 dx 缺少绕过 MLP 的那条路：dm = dy + 从 mlp 和 ln_2 传回来的",
    "your dx lacks the way past attention: dx = dm + what comes back through attn and ln_1":
        "你的 dx 缺少绕过注意力的那条路：dx = dm + 从 attn 和 ln_1 传回来的",
    "your dx lacks the MLP's branch: dm = dy + what comes back through mlp and ln_2":
        "你的 dx 缺少 MLP 那条分支：dm = dy + 从 mlp 和 ln_2 传回来的",
    "your dx lacks the attention branch: dx = dm + what comes back through attn and ln_1":
        "你的 dx 缺少注意力那条分支：dx = dm + 从 attn 和 ln_1 传回来的",
    "your attention branch got dy; it should get dm, which has the MLP's share in it":
        "你的注意力分支得到的是 dy；应得到 dm，其中有 MLP 的那一份",
    "your dx has the way past attention start from dy; it should start from dm":
        "你的 dx 中绕过注意力的那条路从 dy 开始；应从 dm 开始",
    "what comes back through mlp and ln_2": "从 mlp 和 ln_2 传回来的",
    "what comes back through attn and ln_1": "从 attn 和 ln_1 传回来的",
    "dy is in your dm twice: once past the MLP is enough": "你的 dm 里有两份 dy：绕过 MLP 一次就够了",
    "dy is in your dx once too often: dm has it already": "你的 dx 里多了一份 dy：dm 里已经有了",
    "you went through attention first; in the forward the MLP came last, so now it comes first":
        "你先穿过了注意力；正向时 MLP 在最后，所以现在它在最先",
    "your dx lacks ln_1: after multihead_backward comes the layer norm that stood before attention":
        "你的 dx 缺少 ln_1：multihead_backward 之后是注意力之前的那个层归一化",
    "your dx lacks ln_2: after mlp_backward comes the layer norm that stood before the MLP":
        "你的 dx 缺少 ln_2：mlp_backward 之后是 MLP 之前的那个层归一化",
    "your branches go through the norm first; in the forward it came first, so now it comes last":
        "你的分支先穿过了归一化；正向时它在最先，所以现在它在最后",
    "ln_1 and ln_2 have changed places: ln_1 stands before attention, ln_2 before the MLP":
        "ln_1 和 ln_2 互换了位置：ln_1 在注意力之前，ln_2 在 MLP 之前",
    "where the backward pass ends: one table that was used twice, at the output and at the input":
        "反向传播到这里结束：同一张表用了两次，输出处和输入处",
    "The head, which makes the logits, and the lookup of x share W. Its gradient is asked for, given dlogits and dx.":
        "算出 logits 的输出头和取出 x 的查表共用 W。要求 W 的梯度，已知 dlogits 和 dx。",
    "Both uses of W move the loss, so dwte is the sum of two shares.": "W 的两处使用都影响损失，所以 dwte 是两份之和。",
    "The head is a linear layer with Wᵀ for its matrix: with rows flattened to N = B·T, its share is dlogits.T @ h, (V, C).":
        "输出头是以 Wᵀ 为矩阵的线性层：展平成 N = B·T 行后，它的一份是 dlogits.T @ h，(V, C)。",
    "The lookup gives dx[b, t] back to row ids[b, t]. An id that comes twice gets both: dwte[ids] += dx would keep only "
    "one of them, np.add.at(dwte, ids, dx) adds all.":
        "查表把 dx[b, t] 还给第 ids[b, t] 行。出现两次的编号两份都要：dwte[ids] += dx 只会留下其中一份，np.add.at(dwte, "
        "ids, dx) 全部加上。",
    "you forgot the tied head's share of dwte: Σ dlogitsᵀ h": "你忘了 dwte 中输出头的那一份：Σ dlogitsᵀ h",
    "you forgot the lookup's share of dwte: dx[b, t] is added to row ids[b, t]":
        "你忘了 dwte 中查表的那一份：dx[b, t] 加到第 ids[b, t] 行",
    "an id that comes twice got one dx only: dwte[ids] += dx writes a repeated row once; use np.add.at":
        "出现两次的编号只得到了一份 dx：dwte[ids] += dx 对重复的行只写一次；用 np.add.at",
    "the lookup wrote over the head's share of the rows it found: add to them":
        "查表那一份盖掉了它所在各行中输出头的那一份：应当相加",
    "you added dx to every row; dx[b, t] goes to row ids[b, t] alone": "你把 dx 加到了每一行；dx[b, t] 只加到第 ids[b, t] 行",
    "you added dx to the row of its position, as in the table of positions; it goes to row ids[b, t]":
        "你把 dx 加到了它的位置那一行，那是位置表的做法；应加到第 ids[b, t] 行",
    "you added dx twice": "你把 dx 加了两次",
    "you divided the head's share by N; it is a sum over the positions": "你把输出头的那一份除以了 N；它是对位置的和",
    "the head's share in your dwte is of the last sequence alone: add up those of the whole batch":
        "你的 dwte 中输出头的那一份只有最后一个序列：把整个批次的加起来",
    "the head's share comes from dlogits.reshape(V, N), which cuts the numbers anew; what is needed is the transpose of "
    "(N, V)":
        "输出头的那一份用了 dlogits.reshape(V, N)，那是把数重新切分；需要的是 (N, V) 的转置",
    "rows of ids that do not occur have the head's share alone": "没有出现的编号，其行只有输出头的那一份",
}
