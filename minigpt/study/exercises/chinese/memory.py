"""What memory.py says, in Chinese: {English: Chinese}."""

CHINESE = {
    "one more token, with the keys and values of all earlier ones kept": "再读一个词元，先前所有词元的键和值都保留着",
    "q, k and v are of the new position; keys and values are those of the S positions before it. Returns what the new "
    "position reads, and new arrays of keys and values for the next step.":
        "q、k 和 v 属于新位置；keys 和 values 属于它之前的 S 个位置。返回新位置读到的内容，以及供下一步使用的新数组 keys "
        "和 values。",
    "The new position also reads itself: first np.concatenate([keys, k[:, None]], axis=1), and so with the values.":
        "新位置也读它自己：先 np.concatenate([keys, k[:, None]], axis=1)，值也一样。",
    "With q[:, None], (B, 1, D), the scores are q @ keys.swapaxes(-1, -2) / sqrt(D): (B, 1, S + 1).":
        "用 q[:, None]，(B, 1, D)，分数是 q @ keys.swapaxes(-1, -2) / sqrt(D)：(B, 1, S + 1)。",
    "The one query stands at the end, so it sees every key, and no mask is needed: softmax over the keys, times values, "
    "and [:, 0] takes the axis of one query away.":
        "唯一的查询在末尾，看得到每个键，不需要掩码：对键做 softmax，乘以值，再用 [:, 0] 去掉查询那个轴。",
    "your new position reads the earlier ones alone; it also reads itself: append k and v first":
        "你的新位置只读了先前的位置；它也读自己：先把 k 和 v 接上",
    "you returned the old keys and values; the next step needs the new ones among them":
        "你返回了旧的键和值；下一步需要其中有新的",
    "you put the new key and value in front; they come last, in the order of the positions":
        "你把新的键和值放到了前面；按位置的次序它们在最后",
    "you appended k to the values; v belongs there": "你把 k 接到了 values 上；那里应是 v",
    "your mask shows the first key alone: np.tri(1, S + 1) is right for a query at the first position, yours stands at the "
    "last and sees all":
        "你的掩码只露出第一个键：np.tri(1, S + 1) 适用于第一个位置的查询，你的在最后一个位置，全都看得到",
    "one sequence reads another, as the decoder of a translator reads the encoder's output":
        "一个序列读另一个序列，就像翻译模型的解码器读编码器的输出",
    "Queries are of one sequence, keys and values of another. real says which keys are tokens, and which are padding "
    "(False), which no query sees. Nothing else is hidden.":
        "查询属于一个序列，键和值属于另一个。real 说明哪些键是词元，哪些是填充（False），填充谁也看不到。其余的都不遮。",
    "Scores are (B, T, S): T queries, S keys, divided by √D, the root of the number of channels.":
        "分数是 (B, T, S)：T 个查询，S 个键，除以 √D，通道数的平方根。",
    "real is (B, S), one row for each sequence; real[:, None] is (B, 1, S), the same for all T queries: np.where(real[:, "
    "None], scores, -np.inf).":
        "real 是 (B, S)，每个序列一行；real[:, None] 是 (B, 1, S)，对全部 T 个查询相同：np.where(real[:, None], scores, "
        "-np.inf)。",
    "The softmax is along the last axis, over the keys; o = att V.": "softmax 沿最后一个轴，即对键；o = att V。",
    "you set the weights or the values of padding to 0, but after its keys had their share of the softmax, so the weights "
    "of the tokens sum to less than 1: set the scores to −∞ before it":
        "你把填充的权重或值设为 0，但它的键已分走了 softmax 的一份，于是各词元的权重之和小于 1：应在它之前把分数设为 −∞",
    "your mask is the wrong way round: it hides the tokens and shows the padding":
        "你的掩码方向反了：它遮住了词元，露出了填充",
    "you hid keys with j > t; that is for one sequence that reads itself, here all tokens are seen":
        "你遮住了 j > t 的键；那是一个序列读自己时用的，这里所有词元都看得到",
    "att is 0 at padding": "填充处 att 为 0",
}
