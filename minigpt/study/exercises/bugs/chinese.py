"""What the bug lab says, in Chinese: {English: Chinese}.  What each fault is, does and hints at is in chinese_faults.py."""

from .chinese_faults import FAULTS

CHINESE: dict[str, str] = {
    # lab.py, run.py
    "Bug {number} of {n}, {solved} solved: a training run with one fault. Its kind is one of {kinds}.\n"
    "  run.train(300) trains it; help(run) lists what else it has, bugs.healthy() is the same run without a fault.\n"
    "  run.choices() prints the faults there are; run.answer(\"…\") names one, first its kind; run.hint() helps.":
        "第 {number} 个故障，共 {n} 个，已解决 {solved} 个：一次带有一处故障的训练。种类是其中之一：{kinds}。\n"
        "  run.train(300) 训练它；help(run) 列出它还有什么；bugs.healthy() 是同一次训练，但没有故障。\n"
        "  run.choices() 列出可能的故障；run.answer(\"…\") 说出是哪一个，先说种类；run.hint() 给提示。",
    "Bug {number}, hint {i} of {n}: {words}": "第 {number} 个故障，提示 {i}/{n}：{words}",
    "measure {question}:\n\n{source}": "请测量：{question}\n\n{source}",
    "Bug {number}: right, {words}.": "第 {number} 个故障：答对了，{words}。",
    "Hints: {hints}, wrong answers: {wrong}. bugs.solution({number}{again}) shows the planted lines.":
        "提示 {hints} 个，答错 {wrong} 次。bugs.solution({number}{again}) 显示被改动的那几行。",
    "Bug {number}: the kind is right, {kind}. Which of these is it?": "第 {number} 个故障：种类对了，是 {kind}。是下面哪一个？",
    "Bug {number}: its kind is not {kind}. One measurement of that kind, {question}:\n"
    "  a right run has {right}, this one has {here}.":
        "第 {number} 个故障：种类不是 {kind}。这一类的一个测量，{question}：\n"
        "  正确的训练是 {right}，这里是 {here}。",
    "That differs because of the fault, but is not where it lies.": "这个差别由故障引起，但故障不在那里。",
    "Bug {number}: it is not {what}. That would show in {question}:\n"
    "  a right run has {right}, one with {what} has {there}, this one has {here}.\n"
    "run.hint() leads to the next measurement.":
        "第 {number} 个故障：不是 {what}。那样的故障会在这里看出来：{question}\n"
        "  正确的训练是 {right}，有 {what} 时是 {there}，这里是 {here}。\n"
        "run.hint() 会引向下一个测量。",
    "Bug {number} is {name}, of the kind {kind}: {words}.": "第 {number} 个故障是 {name}，种类 {kind}：{words}。",
    "{place}, planted lines with −, right ones with +:": "{place}，改动的行标 −，正确的行标 +：",
    "The measurement that shows it:": "能看出它的测量：",
    "right run": "正确的",
    "here": "这里",
    "what is measured": "测量的是",
    "after {t} steps: loss {loss:.2f} in training, {validation:.2f} in validation":
        "{t} 步之后：训练损失 {loss:.2f}，验证损失 {validation:.2f}",
    # the kinds
    "which windows of the text a step reads": "每一步读的是文本的哪些片段",
    "what a position gets to see on the way forward: attention's mask and scale, positions, dropout":
        "前向时一个位置能看到什么：注意力的掩码与缩放、位置、dropout",
    "what comes back from the loss, and what is added up": "从损失传回来的是什么，哪些要加起来",
    "what a step makes of the gradients": "一步更新如何使用梯度",
    "how logits become the next character": "logits 怎样变成下一个字符",
    # the measurements
    "how many places the targets lie ahead of the inputs, the same in all rows": "目标比输入超前几个位置（每一行都一样）",
    "how many of 4 rows, decoded, are a piece of the text": "4 行解码之后，有几行是原文中的一段",
    "how many of 400 rows of training end in text that belongs to validation": "400 行训练数据中，有几行的结尾属于验证部分",
    "how far ahead of a position a changed token changes its loss: while evaluating, and in training":
        "改动一个位置之后多远的词元，还会改变该位置的损失：评估时，训练时",
    "what the products of queries and keys are multiplied by": "查询与键的乘积被乘上了多少",
    "how many different vectors of position there are in a row": "一行里有几个不同的位置向量",
    "the share of zeros in what the first block gets, outside training": "训练之外，第一个块的输入中零所占的比例",
    "how much longer the gradient is when the same batch is asked for again, before any step":
        "还没有更新，再算一次同一批的梯度，长度变为几倍",
    "which gradients gradcheck finds wrong: how many arrays, and the first on the way back from the loss":
        "gradcheck 发现哪些梯度有误：几个数组，以及从损失往回走的第一个",
    "how many arrays of norms shrink in a step with gradients of 0": "梯度全为 0 的一步中，归一化层有几个数组变小了",
    "the length of the first step of a bias, in learning rates": "偏置第一步的长度，以学习率为单位",
    "the learning rate at the end of the warm-up, as a share of its peak": "预热结束时的学习率，占峰值的比例",
    "the length of a long gradient, all arrays together, after clipping to 1":
        "很长的梯度裁剪到 1 之后，所有数组合在一起的长度",
    "which of two tokens is the likelier next, after two positions with logits 5, 0 and 0, 5":
        "两个位置的 logits 为 5, 0 和 0, 5，下一个更可能是哪个词元",
    "which tokens of logits 0, 1, 2, 3 can be drawn with top_k=2": "logits 为 0, 1, 2, 3、top_k=2 时，能抽到哪些词元",
    "how many nats lie between two tokens of logits 0 and 1 at temperature 0.5":
        "温度 0.5 时，logits 为 0 和 1 的两个词元相差几奈特",
    "how far logits are from those of one pass when tokens are read one by one": "逐个读词元得到的 logits 与一次读完的相差多少",
} | FAULTS
