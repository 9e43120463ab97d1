"""What each fault of the bug lab is, does and hints at, in Chinese: {English: Chinese}."""

FAULTS: dict[str, str] = {
    # targets_not_shifted
    "the targets are the inputs themselves: nothing is shifted": "目标就是输入本身：没有移位",
    "The model is asked for the token that it has just read, and learns to copy it: its loss falls almost to 0. Validation "
    "asks for the next token, of which it has learned nothing: that loss rises far above that of a guess. What is sampled "
    "repeats one character.":
        "模型被要求说出刚刚读到的词元，于是学会了照抄，训练损失几乎降到 0。验证时问的是下一个词元，它对此什么也没学到，"
        "损失远高于瞎猜。采样出来的文本一直重复同一个字符。",
    "Train 300 steps and look at both losses, and at run.sample(): can anyone guess each next letter of a sonnet?":
        "训练 300 步，看两个损失，再看 run.sample()：有谁能把十四行诗的每个字母都猜得这么准吗？",
    "Take ids, targets = run.batch() and decode a row of both with run.tokenizer.decode(…): how far is one ahead?":
        "取 ids, targets = run.batch()，用 run.tokenizer.decode(…) 解码两者的同一行：一个比另一个超前多少？",
    # training_reads_validation
    "the windows of training are taken from the whole text, the validation part included":
        "训练片段取自整个文本，连验证部分也在内",
    "The model has seen what it is tested on: the validation loss falls with the training loss, and no overfitting is ever "
    "seen. The number says nothing about new text.":
        "模型已经见过考题：验证损失随着训练损失一起下降，永远看不到过拟合。这个数字对新的文本说明不了什么。",
    "A right run has a higher loss in validation than in training. Train 300 steps, twice, here and in bugs.healthy(), and "
    "compare: which of the four numbers is too good?":
        "正确的训练，验证损失高于训练损失。在这里和 bugs.healthy() 中各训练两次 300 步，比较一下：四个数里哪一个好得过头？",
    "Decode rows of run.batch() and look for them in the text of run.validation_ids.":
        "解码 run.batch() 的各行，到 run.validation_ids 的文本中去找。",
    # rows_scrambled
    "the rows of a batch are cut across: each mixes tokens of several places": "批次的行被横着切开：每一行混有几处的词元",
    "Each input is still followed by its target, so the model learns which letter follows which, and at first the loss "
    "falls as it should. But what stands before in a row is not what stood before in the text, so no word is ever learned.":
        "每个输入后面仍是它的目标，所以模型学得到哪个字母跟在哪个字母后面，开头损失也照常下降。"
        "但一行里前面的内容并不是文本中前面的内容，所以学不会任何一个词。",
    "The losses of the first 300 steps are those of bugs.healthy(), and gradients and steps are right. What is left is "
    "what the model reads.":
        "前 300 步的损失和 bugs.healthy() 一样，梯度和更新也都对。剩下的就是模型读到了什么。",
    "Take ids, targets = run.batch() and read a row, run.tokenizer.decode(ids[0]).":
        "取 ids, targets = run.batch()，读其中一行：run.tokenizer.decode(ids[0])。",
    # mask_sees_next
    "the causal mask is off by one: each position also sees the one after it":
        "因果掩码差了一位：每个位置还看得到它后面的一个",
    "The input after a position is its target. Attention learns to look there, and the loss falls far below what guessing "
    "allows. A text that is being written has no next token to look at, so samples are as bad as ever.":
        "一个位置后面的输入就是它的目标。注意力学会了去看那里，损失降到靠猜测不可能达到的程度。"
        "而写文本时还没有下一个词元可看，所以采样还是一样差。",
    "Train 300 steps: the loss falls far below that of a right run, in validation too. Then look at run.sample().":
        "训练 300 步：损失远低于正确的训练，验证损失也是。再看 run.sample()。",
    'Look at the weights of a head, run.model.trace(ids, names="h.0.attn.att")["h.0.attn.att"].value[0, 0].round(2): which '
    "is the last in each row that is not 0?":
        '看一个头的权重 run.model.trace(ids, names="h.0.attn.att")["h.0.attn.att"].value[0, 0].round(2)：每行最后一个不为 0 '
        "的在哪里？",
    # mask_missing_at_evaluation
    "the causal mask is missing while evaluating": "评估时没有因果掩码",
    "Training is right, but the loss of validation is that of another model, one that also averages over the tokens to "
    "come, as it has never learned to: the number is too high, and samples are better than it says.":
        "训练是对的，但验证损失是另一个模型的：它把后面的词元也平均进来，而它从没学过这样做。所以这个数偏高，"
        "采样比它所说的要好。",
    "Training sees what it should. So compare what the model does in training and outside: run.model.loss_and_grads(ids, "
    "targets, dropout_key=(0,)) and run.model.loss(ids, targets).":
        "训练时看到的都对。所以比较模型在训练时和训练之外做了什么：run.model.loss_and_grads(ids, targets, dropout_key=(0,)) "
        "和 run.model.loss(ids, targets)。",
    'Look at the weights of a head, run.model.trace(ids, names="h.0.attn.att")["h.0.attn.att"].value[0, 0].round(2): what '
    "is above the diagonal?":
        '看一个头的权重 run.model.trace(ids, names="h.0.attn.att")["h.0.attn.att"].value[0, 0].round(2)：对角线上方是什么？',
    # scale_missing
    "attention's scores lack the factor 1/√D": "注意力的分数缺少因子 1/√D",
    "Scores are √D times too large, so that the softmax soon puts all its weight on one key and hardly has a gradient. A "
    "model as small as this one learns almost as well; wide ones, with D = 64 and more, learn worse.":
        "分数大了 √D 倍，softmax 很快就把全部权重放在一个键上，几乎没有梯度。这么小的模型学得差不多一样好；宽的模型，D 为 64 "
        "或更大时，就学得差了。",
    "Nothing is seen in the loss, and the gradients are right: the function itself is another one. Read a trace against "
    "the equations that print(trace) shows.":
        "损失看不出什么，梯度也是对的：是函数本身变了。把一次 trace 与 print(trace) 显示的公式对照着读。",
    'Take q, k and scores of "h.0.attn" from a trace and compare scores with q @ k.swapaxes(-1, -2).':
        '从 trace 中取出 "h.0.attn" 的 q、k 和 scores，把 scores 与 q @ k.swapaxes(-1, -2) 比较。',
    # positions_restart
    "positions begin again at 0 in the middle of a row": "位置在一行中间又从 0 开始",
    "Positions that are half a row apart have the same vector, so attention cannot tell how far back a token stands. The "
    "second half of the table never learns.":
        "相隔半行的两个位置有同样的向量，所以注意力分不清一个词元在多远之前。位置表的后一半永远学不到东西。",
    "A gradient that is 0 where it should not be tells much: after loss, grads = run.gradient(*run.batch()) look at the "
    "rows of each array.":
        "不该为 0 的梯度是 0，这很能说明问题：运行 loss, grads = run.gradient(*run.batch())，看各个数组的每一行。",
    'Count the rows of grads["wpe.weight"] that are not 0, or the different rows of "wpe.out" in a trace.':
        '数一数 grads["wpe.weight"] 中不为 0 的行，或者 trace 里 "wpe.out" 有几个不同的行。',
    # dropout_at_evaluation
    "dropout also drops while evaluating": "评估时 dropout 也在丢弃",
    "A tenth of all numbers is thrown away in validation and sampling too: the validation loss is too high, and samples "
    "are worse than the model.":
        "验证和采样时也有十分之一的数被丢掉：验证损失偏高，采样比模型本身差。",
    "Compare what the model does in training and outside: what should be there in training alone?":
        "比较模型在训练时和训练之外做了什么：什么应当只在训练时才有？",
    "Outside training h.0.in is wte.out + wpe.out, to the last bit. Compare the three in a trace.":
        "训练之外，h.0.in 就是 wte.out + wpe.out，一位不差。在 trace 里比较这三者。",
    # gradient_not_zeroed
    "the gradient is not set to 0 between two steps": "两步之间没有把梯度清零",
    "Each step adds its gradient to those of all steps before: a momentum that never fades. The loss falls for some "
    "fifteen steps and then rises, far above that of a guess.":
        "每一步都把自己的梯度加到以前各步的梯度上：一种永不衰减的动量。损失先下降十几步，然后上升，远高于瞎猜。",
    "Train 100 steps and look at all losses: something goes well at first and then no more. The gradient of the model "
    "itself is right, when it is computed once.":
        "训练 100 步，看全部损失：先是好的，后来不行了。模型的梯度只算一次时是对的。",
    "Call run.gradient(*batch) twice with one batch and compare the gradients; copy the first ones, they are overwritten.":
        "用同一批调用两次 run.gradient(*batch)，比较得到的梯度；第一次的要先复制，因为会被覆盖。",
    # tied_gradient_dropped
    "the tied table gets only one of its two gradients: that of the output layer is dropped":
        "共享的词表只得到两个梯度中的一个：输出层的那个丢了",
    "wte.weight is used twice, for the lookup and for the output layer, so its gradient is a sum of two. With the larger "
    "one missing, the output layer learns only by accident, and the loss falls slowly.":
        "wte.weight 用了两次，一次查表，一次在输出层，所以它的梯度是两项之和。缺了较大的一项，输出层只是碰巧学到一点，"
        "损失下降得慢。",
    "Run minigpt.study.gradcheck.check_model(run.model, ids, targets): which arrays are wrong?":
        "运行 minigpt.study.gradcheck.check_model(run.model, ids, targets)：哪些数组有误？",
    'Only one array is wrong. trace["wte.weight"].parts are the two terms whose sum trace["wte.weight"].grad should be.':
        '只有一个数组有误。trace["wte.weight"].parts 是两项，trace["wte.weight"].grad 应当是它们的和。',
    # layernorm_mean_missing
    "the backward of layer norm lacks a term, the mean of dx̂": "层归一化的反向少了一项：dx̂ 的均值",
    "Layer norm takes the mean off, so nothing that moves all channels alike can matter, and its dx has mean 0. Without "
    "the term it has not. Training works almost as well, and without a gradient check nobody notices.":
        "层归一化减去了均值，所以把所有通道一起移动是没有影响的，它的 dx 均值为 0。少了这一项就不是了。训练几乎一样好，"
        "不做梯度检查就没有人会发现。",
    "Run minigpt.study.gradcheck.check_model(run.model, ids, targets): which arrays are wrong, and what is the last one on "
    "the way back from the loss that is right?":
        "运行 minigpt.study.gradcheck.check_model(run.model, ids, targets)：哪些数组有误？从损失往回走，"
        "最后一个正确的是哪个？",
    'The weight and bias of ln_f are right, all that lies before it is wrong: so its dx is. That is trace["h.1.out"].grad; '
    "what should its sum over the channels be?":
        'ln_f 的权重和偏置是对的，它之前的全都有误：所以是它的 dx 错了，也就是 trace["h.1.out"].grad；'
        "它对通道求和应当是多少？",
    # softmax_backward_wrong_axis
    "the backward of attention's softmax sums over the queries instead of the keys":
        "注意力的 softmax 反向时对查询求和，而不是对键",
    "Scores get a wrong gradient, and with them all queries and keys. As long as attention does little, nothing is seen; "
    "as soon as it matters, the loss rises again.":
        "分数的梯度错了，所有查询和键的梯度也跟着错。注意力作用小的时候看不出什么；一旦它重要起来，损失又上升了。",
    "h.1.attn.c_proj is right and h.1.attn.c_attn is wrong. Between them are att and scores: the rows of a softmax's dx "
    'sum to 0; look at trace["h.1.attn.scores"].grad.sum(-1).':
        "h.1.attn.c_proj 是对的，h.1.attn.c_attn 有误。两者之间是 att 和 scores：softmax 的 dx 每行之和为 0；看 "
        'trace["h.1.attn.scores"].grad.sum(-1)。',
    # decay_on_norms
    "weight decay also pulls at the norms' weights": "权重衰减也拉归一化层的权重",
    "A matrix can make up for a norm that scales, so to decay a norm's weight regularizes nothing; it only pulls it away "
    "from 1, where it begins, to 0. The loss shows nothing of it.":
        "归一化层缩放了多少，矩阵都能补回来，所以衰减它的权重起不到正则化的作用；只是把它从起点 1 拉向 0。从损失上看不出来。",
    "Which parameters should a step leave alone when their gradient is 0?": "梯度为 0 时，一步更新应当不动哪些参数？",
    "In a new run copy run.model.params, call run.optimizer.step(grads) with zeros for all names, and see which arrays "
    "have changed.":
        "在新的训练中复制 run.model.params，给所有名字以零调用 run.optimizer.step(grads)，看哪些数组变了。",
    # bias_correction_missing
    "the bias correction is missing: m and v begin at 0 and are taken as they are":
        "缺少偏差修正：m 和 v 从 0 开始，却直接拿来用",
    "Both are too small at first, and √v more than m, as β₂ is nearer to 1 than β₁: the first step is three times too "
    "long, the next ones more. The loss falls fast for a few steps, then stays behind that of a right run.":
        "开头两者都太小，而 √v 比 m 小得更多，因为 β₂ 比 β₁ 更接近 1：第一步长了三倍，接下来的更长。损失在最初几步降得快，"
        "然后落在正确的训练后面。",
    "Compare the first updates with the learning rate: Adam's very first step moves every parameter by η, whatever its "
    "gradient.":
        "把最初几步的更新与学习率比较：Adam 的第一步把每个参数移动 η，不管梯度是多少。",
    "In a new run copy a bias, call run.optimizer.step(grads) once, and divide what it moved by run.optimizer.rate(1).":
        "在新的训练中复制一个偏置，调用一次 run.optimizer.step(grads)，把它移动的距离除以 run.optimizer.rate(1)。",
    # warmup_in_tokens
    "the warm-up is in the wrong unit: as many tokens as 20 steps read, but counted in steps":
        "预热的单位错了：取的是 20 步所读的词元数，却按步来数",
    "The learning rate reaches its peak after 2,560 steps instead of 20. Until then it is close to 0, and the loss falls "
    "slowly.":
        "学习率在 2,560 步之后才到峰值，而不是 20 步。在那之前它接近 0，损失下降得慢。",
    "Train 100 steps, here and in bugs.healthy(): here the loss falls slowly, though the gradients are right. How far does "
    "a step go?":
        "在这里和 bugs.healthy() 中各训练 100 步：这里损失下降得慢，尽管梯度是对的。一步走了多远？",
    "Look at run.optimizer.rate(t) for t = 1, 10, 20, 100: when should it reach run.optimizer.peak?":
        "看 t = 1、10、20、100 时的 run.optimizer.rate(t)：什么时候应当到达 run.optimizer.peak？",
    # clip_each_array
    "each array is clipped on its own instead of all together": "每个数组各自裁剪，而不是合在一起",
    "Arrays with a long gradient are cut more than others, so the step no longer points along the gradient, and all "
    "together it is longer than allowed: by up to the root of the number of arrays.":
        "梯度长的数组被削得比别的多，所以这一步不再沿着梯度的方向；合在一起又比允许的长，最多可达数组个数的平方根倍。",
    "The losses are those of a right run, and so are the gradients. Clipping shortens a long gradient and leaves its "
    "direction: give it one and compare.":
        "损失和正确的训练一样，梯度也一样。裁剪会缩短过长的梯度，但保留方向：给它一个长的，比较一下。",
    "Call run.optimizer.clipped(grads) with ones for all names, and compute the length over all arrays together.":
        "给所有名字以一调用 run.optimizer.clipped(grads)，计算所有数组合在一起的长度。",
    # first_position
    "the next token is drawn from the logits of the first position": "下一个词元是从第一个位置的 logits 抽出来的",
    "The whole prompt is read, but only what may follow its first character counts. Once tokens come one at a time, first "
    "and last are the same: only the first character of a sample is wrong.":
        "整个提示都读了，但起作用的只是第一个字符后面可能跟什么。之后词元一个一个地来，第一个就是最后一个："
        "所以只有采样的第一个字符是错的。",
    "The model is right: run.model.generate() continues a prompt as it should. Compare its first new character, at "
    "temperature=0, with that of run.sample(top_k=1).":
        "模型是对的：run.model.generate() 会正确地接着提示往下写。取 temperature=0，把它的第一个新字符与 run.sample(top_k=1) "
        "的比较。",
    "Give run.sampler().probabilities(logits) logits (2, V) of your own, and see which row it takes.":
        "给 run.sampler().probabilities(logits) 你自己的 logits (2, V)，看它取的是哪一行。",
    # top_k_keeps_smallest
    "top-k keeps the smallest logits instead of the largest": "top-k 留下了最小的 logits，而不是最大的",
    "With top_k a sample is made of the tokens that the model finds least likely; without it all is right.":
        "用了 top_k，采样就由模型认为最不可能的词元组成；不用时一切正常。",
    "Train 300 steps, then compare run.sample() with run.sample(top_k=1) and run.sample(top_k=5).":
        "训练 300 步，再比较 run.sample() 与 run.sample(top_k=1) 和 run.sample(top_k=5)。",
    "Give run.sampler(top_k=2).probabilities(logits) logits (1, 4) of your own: which tokens have a probability left?":
        "给 run.sampler(top_k=2).probabilities(logits) 你自己的 logits (1, 4)：哪些词元还有概率？",
    # temperature_multiplied
    "the logits are multiplied by the temperature": "logits 被乘上了温度",
    "A low temperature makes samples wild, a high one dull: the wrong way round. At 1 nothing is seen.":
        "温度低时采样狂乱，温度高时呆板：正好反了。温度为 1 时看不出来。",
    "Train 300 steps, then compare run.sample(temperature=0.3) with run.sample(temperature=3).":
        "训练 300 步，再比较 run.sample(temperature=0.3) 与 run.sample(temperature=3)。",
    "Give run.sampler(temperature=0.5).probabilities(logits) logits (1, 2) of your own, and look at the logarithm of the "
    "ratio of the two.":
        "给 run.sampler(temperature=0.5).probabilities(logits) 你自己的 logits (1, 2)，看两者之比的对数。",
    # cache_not_advanced
    "the cache is not advanced: each token is read as if it were the first": "缓存没有前进：读每个词元都当作第一个",
    "Each new token is written over the one before and gets position 0. So the model sees one token alone, and a sample is "
    "a chain of letter pairs.":
        "每个新词元都写在前一个上面，位置也是 0。所以模型只看到一个词元，采样就是一串字母对。",
    "The model is right in one pass: after 300 steps run.model.generate(ids, temperature=0) continues a prompt as it "
    "should, and run.sample(top_k=1) does not.":
        "一次读完时模型是对的：训练 300 步之后，run.model.generate(ids, temperature=0) 会正确地接着写，run.sample(top_k=1) "
        "却不会。",
    "Read tokens one by one with sampler = run.sampler(); sampler.read(ids[t : t + 1]), and compare the logits with those "
    "of run.model(ids[None]), which reads them in one pass.":
        "用 sampler = run.sampler() 逐个读词元：sampler.read(ids[t : t + 1])，把 logits 与一次读完的 run.model(ids[None]) "
        "比较。",
}
