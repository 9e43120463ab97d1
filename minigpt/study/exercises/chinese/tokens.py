"""What tokens.py says, in Chinese: {English: Chinese}."""

CHINESE = {
    "the step that byte-level BPE repeats: a pair of neighbors becomes one token":
        "字节级 BPE 反复做的一步：相邻的一对合并成一个词元",
    "Replaces each occurrence of the pair by the id `new`, from left to right, and returns a new list.":
        "把列表中每一处这样的一对都换成编号 new，从左到右，返回一个新列表。",
    "Walk through the list with an index i. Where ids[i] and ids[i + 1] are the pair, append new and go on at i + 2.":
        "用下标 i 走过列表。ids[i] 和 ids[i + 1] 正是这一对时，放入 new，从 i + 2 继续。",
    "Elsewhere append ids[i] and go on at i + 1. The last id has no neighbor: ask i + 1 < len(ids) first.":
        "其余位置放入 ids[i]，从 i + 1 继续。最后一个编号右边没有邻居：先问 i + 1 < len(ids)。",
    "Two occurrences cannot share an id: of [1, 1, 1] the first two become one, and the third stays.":
        "两处不能共用一个编号：[1, 1, 1] 中前两个合成一个，第三个留下。",
    "you replaced the first occurrence alone: go on to the end of the list": "你只替换了第一处：要一直走到列表末尾",
    "you went on at i + 1 after a merge, so the right id is used again: both ids are used up, go on at i + 2":
        "合并之后你从 i + 1 继续，右边那个编号又被用了一次：两个编号都已用掉，应从 i + 2 继续",
    "you went from right to left, so [1, 1, 1] becomes [1, 2]; it is from left to right":
        "你是从右到左合并的，[1, 1, 1] 于是成了 [1, 2]；应当从左到右",
    "the right id of the pair is still there behind the new one: both are replaced":
        "新编号后面还留着这一对中右边的那个：两个都要换掉",
    "the left id of the pair is still there before the new one: both are replaced":
        "新编号前面还留着这一对中左边的那个：两个都要换掉",
    "you put in the new id twice, for both of the pair; the two become one":
        "你把新编号放了两次，这一对的每个各一次；两个应合成一个",
    "you merged the pair in the other order too: (1, 2) is not (2, 1)": "你把顺序相反的一对也合并了：(1, 2) 不是 (2, 1)",
    "you merged where the pair does not stand: both ids must fit, the left one and the one after it":
        "你在不是这一对的地方也合并了：左边的编号和它后面的那个都要相符",
    "the last id is lost where no pair ends with it: the walk goes on to len(ids)":
        "末尾不是这一对时，最后一个编号丢了：要走到 len(ids)",
    "how byte-level BPE gets its vocabulary: the most frequent pair, again and again":
        "字节级 BPE 的词表从何而来：一次又一次合并最常见的一对",
    "counts holds the ids of each piece of the text, and how often it occurs. Merges the most frequent pair of neighbors "
    "in all pieces, the first one into the id 256, the next into 257, counts again, and so on: n_merges times, or until no "
    "pair is left. Of equally frequent pairs the lower one is merged, min(pairs). minigpt.tokenization.bpe.merge may be "
    "used.":
        "counts 中是文本各片段的编号，以及它出现几次。合并所有片段中最常见的相邻一对，第一对合并成编号 256，下一对 257，"
        "然后重新计数，如此反复：共 n_merges 次，或到没有可合并的一对为止。次数相同时合并较小的一对，即 min(pairs)。"
        "可以使用 minigpt.tokenization.bpe.merge。",
    "Keep the pieces as lists. For each piece and each two neighbors of it, add the piece's count to the pair's: a "
    "Counter, and itertools.pairwise.":
        "把各片段存成列表。对每个片段中每两个相邻编号，把该片段的次数加到这一对上：可用 Counter 和 itertools.pairwise。",
    "min(pairs, key=lambda pair: (-frequent[pair], pair)) is the most frequent pair, of equal ones the lowest.":
        "min(pairs, key=lambda pair: (-frequent[pair], pair)) 是最常见的一对，次数相同时取最小的。",
    "Then merge it in every piece, to 256 + the number of merges so far, and count all pairs anew: they have changed.":
        "然后在每个片段中把它合并成编号 256 + 已有的合并数，再把所有的对重新计数：它们已经变了。",
    "No piece reaches into another, so no pair does. Where no piece has two ids any more, there is nothing to merge.":
        "片段互不相连，所以没有跨片段的对。当没有片段还剩两个编号时，就没有可合并的了。",
    "you counted each piece once; a piece that occurs n times counts n times":
        "每个片段你只计了一次；出现 n 次的片段要计 n 次",
    "you counted a pair once for each piece; it counts as often as it stands there":
        "同一对在一个片段中你只计了一次；它出现几处就计几次",
    "you counted the pairs at the beginning alone: a merge makes new pairs and uses up others, so count again":
        "你只在开头数了一遍：合并会产生新的对，也会用掉别的对，所以要重新计数",
    "you joined the pieces, so pairs reach from one into the next; each piece is merged by itself":
        "你把片段连在了一起，于是有的对跨了片段；每个片段各自合并",
    "of equally frequent pairs you took the one met first; it is the lowest pair": "次数相同时你取了先遇到的；应取最小的一对",
    "of equally frequent pairs you took the highest; it is the lowest pair": "次数相同时你取了最大的；应取最小的一对",
    "you merged the rarest pair; it is the most frequent one": "你合并了最少见的一对；应当是最常见的",
    "your new ids begin at 0, where the bytes are; they begin at 256": "你的新编号从 0 开始，那里是字节；应从 256 开始",
    "your new ids begin at 257; the first is 256": "你的新编号从 257 开始；第一个应是 256",
    "you made one merge too many": "你多合并了一次",
    "you made one merge too few": "你少合并了一次",
    "the tokens worth sampling from: as few as reach a probability of p together":
        "值得采样的词元：取尽量少的词元，使概率合计达到 p",
    "Of each row the most probable tokens stay, as few as have a probability of p or more together; so the token with "
    "which the sum crosses p stays. Those that stay keep their logits, the others get −∞.":
        "每一行保留概率最大的词元，取尽量少，使它们的概率合计达到或超过 p；因此使合计越过 p 的那个词元也保留。"
        "留下的保持原来的 logits，其余的设为 −∞。",
    "The probabilities are softmax(logits), row by row. Sort them, the largest first, and np.cumsum adds them up.":
        "概率是逐行的 softmax(logits)。从大到小排序，再用 np.cumsum 累加。",
    "A token stays where the sum of those before it is still below p. So the first one always stays.":
        "排在一个词元之前的概率之和仍小于 p 时，它就保留。所以第一个总是保留。",
    "What is true of the sorted row has to go back to the tokens' own places: with order = np.argsort(-logits, -1), "
    "np.argsort(order, -1) leads back.":
        "对排序后的行得到的结果要放回词元原来的位置：设 order = np.argsort(-logits, -1)，则 np.argsort(order, -1) "
        "可以还原。",
    "you ruled out the token with which the sum crosses p; it stays, else less than p is left":
        "你去掉了使合计越过 p 的那个词元；它应当保留，否则留下的不足 p",
    "you kept one token too many: where the sum has reached p, no more are needed":
        "你多保留了一个词元：合计已达到 p 时就不再需要更多",
    "you added up the logits themselves; p is a sum of probabilities, softmax(logits)":
        "你累加的是 logits 本身；p 针对的是概率之和，即 softmax(logits)",
    "you added up exp(logits), which does not sum to 1; divide by the sum of the row":
        "你累加的是 exp(logits)，其和不为 1；要除以该行之和",
    "your probabilities are over the whole array; each row has its own": "你的概率是对整个数组求的；每一行各有自己的概率",
    "you began with the least probable token; begin with the most probable one": "你从概率最小的词元开始；应从概率最大的开始",
    "your choice of tokens is still in sorted order; put it back to the tokens' own places":
        "你选出的词元还是排序后的次序；要放回词元原来的位置",
    "your logits are sorted; each token keeps its place": "你的 logits 是排序过的；每个词元应留在原位",
    "you kept the tokens that should go, and the other way round": "你保留了应去掉的词元，反之亦然",
    "you set the logits that go to 0, which is still a probability: exp(0) = 1; it must be −∞":
        "你把要去掉的 logits 设为 0，那仍有概率：exp(0) = 1；应设为 −∞",
    "you returned probabilities; logits are asked for, with −∞ where a token goes":
        "你返回的是概率；要求的是 logits，去掉的词元为 −∞",
    "you returned log-probabilities; those that stay keep their logits as they are":
        "你返回的是对数概率；留下的词元应保持原来的 logits",
    "you kept each token whose own probability is p or more; p is for their sum":
        "你保留了自身概率不小于 p 的词元；p 针对的是它们的和",
    "this is min-p, p times the largest probability; top-p is about the sum of the probabilities":
        "这是 min-p，即最大概率的 p 倍；top-p 看的是概率之和",
    "you kept p of the tokens by number; p is for the sum of their probabilities":
        "你按个数保留了 p 比例的词元；p 针对的是概率之和",
}
