"""The doctor's sentences in Chinese: those of doctor.py, study/checks.py, study/costs.py and weights/inspection.py."""

CHINESE = {
    # doctor.py
    "--text: given without --model; name a trained model to read it":
        "--text：没有同时给出 --model；请指定一个训练好的模型来读这段文本",
    "--config: {name!r}, expected a config.json or one of {presets}":
        "--config：{name!r} 不可用，应为一个 config.json 或以下之一：{presets}",
    "minigpt doctor: an untrained model, {name}": "minigpt doctor：未训练的模型 {name}",
    "minigpt doctor: the trained model {name}": "minigpt doctor：训练好的模型 {name}",
    "Hamlet": "《哈姆雷特》",
    "Hamlet, since {file}, the text of this run, cannot be read": "《哈姆雷特》（训练所用的文本 {file} 读不出来）",
    "the end of {file}": "{file} 的结尾",
    "A run of {steps:,} steps": "完整训练（{steps:,} 步）",
    "To see 20 tokens for each parameter (Hoffmann et al. 2022)": "按每个参数读 20 个词元来训练（Hoffmann 等，2022）",
    "a copy of {blocks} blocks, {channels} channels, {positions} positions and a vocabulary of {V}{exception}":
        "缩小的副本：{blocks} 个块，{channels} 个通道，{positions} 个位置，词表 {V} 个词元{exception}",
    "; the first loss is that of the full model": "；初始损失取自完整的模型",
    "memory unknown": "内存大小未知",
    "{size} of memory": "内存 {size}",
    "BLAS threads cannot be set, so work is not split": "无法设定 BLAS 的线程数，因此不拆分计算",
    "each with 1 BLAS thread": "每个用 1 个 BLAS 线程",
    "{processor}, {cores} cores, {memory}": "{processor}，{cores} 核，{memory}",
    "{version}, BLAS: {blas}": "{version}，BLAS：{blas}",
    "{n}, {blas}; matrix products at {speed}": "{n} 个，{blas}；矩阵乘法速度 {speed}",
    "it stopped in {file}, line {line}: {kind}: {error}": "检查中断于 {file} 第 {line} 行：{kind}：{error}",
    "All is well.": "一切正常。",
    "No mistake was found.": "没有发现错误。",
    "Something is wrong: {names}.": "有问题：{names}。",
    "{found} It is too much for this machine: {reasons}.": "{found}但本机承担不起：{reasons}。",

    # its headings, names of rows and marks
    "this machine": "本机",
    "is it correct?": "正确吗？",
    "is it healthy?": "健康吗？",
    "what are its files?": "文件里有什么？",
    "what does it cost?": "代价多大？",
    "processor": "处理器",
    "NumPy": "NumPy 版本",
    "threads": "线程",
    "checked": "检查对象",
    "first loss": "初始损失",
    "causality": "因果性",
    "gradients": "梯度",
    "one batch": "记住一批",
    "parameters": "参数",
    "arithmetic": "运算量",
    "training": "训练",
    "generation": "生成",
    "time": "时间",
    "weights": "权重",
    "tokenizer": "分词器",
    "loss": "损失",
    "cache": "缓存",
    "format": "格式",
    "written by": "来源",
    "special ids": "特殊词元",
    "missing": "缺少",
    "passed over": "略过",
    "notes": "备注",
    "ok": "正常",
    "WRONG": "错误",
    "OVER": "超出",

    # study/checks.py
    "there is none: {error}": "算不出来：{error}",
    "{loss:.2f} nats per token; a uniform guess costs ln {V} = {uniform:.2f}":
        "每个词元 {loss:.2f} 奈特；均匀猜测为 ln {V} = {uniform:.2f}",
    "{text}: more than 10 % above, so the initial weights are too large": "{text}：高出 10% 以上，说明初始权重过大",
    "{text}: an untrained model cannot do better, so the targets leak into the input":
        "{text}：未训练的模型不可能更好，说明答案泄漏到了输入里",
    "the prediction at position {t} depends on position {other}, which comes later: the mask lets future tokens through":
        "位置 {t} 的预测依赖于它后面的位置 {other}：掩码漏过了未来的词元",
    "the prediction at position {t} does not depend on position {other}: attention or the gradient of the positions is cut off":
        "位置 {t} 的预测不依赖于位置 {other}：注意力或位置的梯度被截断了",
    "not causal (causal=False): no ∂logits[t]/∂x[j] is 0": "非因果模型（causal=False）：没有一个 ∂logits[t]/∂x[j] 为 0",
    "∂logits[t]/∂x[j] is exactly 0 for all j > t, and only there": "当且仅当 j > t 时，∂logits[t]/∂x[j] 恰好为 0",
    "{wrong} of {all} arrays are wrong; the first in the backward pass is {name}, off by {error:.2g} of its typical size; "
    "{right} is still right":
        "{all} 个数组中有 {wrong} 个错误；反向传播中第一个出错的是 {name}，误差为其典型大小的 {error:.2g} 倍；{right} 仍然正确",
    "the loss": "损失",
    "{n} arrays agree with central differences (float64) to {worst:.0e}":
        "{n} 个数组与中心差分（float64）一致，误差不超过 {worst:.0e}",
    "loss {first:.2f} → {last:.2f} in {n} steps": "{n} 步内损失 {first:.2f} → {last:.2f}",
    "{B} × {T} random tokens memorized: {course}": "记住了 {B} × {T} 个随机词元：{course}",
    "{B} × {T} random tokens are not memorized: {course}, expected {bound:.2f}; the gradients or the update are wrong, or "
    "{n:,} parameters are too few":
        "没有记住 {B} × {T} 个随机词元：{course}，应降到 {bound:.2f}；梯度或更新有误，或者 {n:,} 个参数太少",
    "NaN or infinity in {name}{more}: download or save them again": "{name}{more}中有 NaN 或无穷大：请重新下载或保存",
    " and {n} more": " 等，另有 {n} 个数组",
    "{n} arrays of {dtype}, all finite": "{n} 个 {dtype} 数组，全部是有限数",
    "none beside the weights, so no text was tested": "权重旁边没有分词器，因此没有检查文本",
    "{n:,} tokens, but the model has {V:,}: tokenizer and model do not belong together":
        "{n:,} 个词元，而模型只有 {V:,} 个：分词器和模型不是一套",
    "{n:,} tokens, but decoding what it encoded gives a text of other tokens":
        "{n:,} 个词元，但编码后再解码，得到的文本词元不同",
    "{n:,} tokens, the model has {V:,}; decoding gives a text of the same tokens":
        "{n:,} 个词元，模型有 {V:,} 个；编码后再解码，得到的文本词元相同",
    "{n:,} tokens, but decoding what it encoded gives another text": "{n:,} 个词元，但编码后再解码，得到的是另一段文本",
    "{n:,} tokens, the model has {V:,}; decoding restores the text": "{n:,} 个词元，模型有 {V:,} 个；编码后再解码，还原了文本",
    "not measured: {reason}": "没有测量：{reason}",
    "not measured without a tokenizer": "没有分词器，无法测量",
    "not measured: the tokenizer knows only {n} tokens of {source}": "没有测量：分词器在 {source} 中只认得 {n} 个词元",
    "{loss:.2f} nats per token on {n:,} tokens of {source}; a uniform guess costs {uniform:.2f}":
        "在 {source} 的 {n:,} 个词元上，每个词元 {loss:.2f} 奈特；均匀猜测为 {uniform:.2f}",
    "{measured}: the model is untrained, or was trained on another language (pass a text in it with --text), or its "
    "weights are in the wrong places":
        "{measured}：模型未经训练，或是用另一种语言训练的（请用 --text 给出那种语言的文本），或者权重放错了位置",
    "{measured}; most letters of its vocabulary are of another script, so pass a text in its language with --text":
        "{measured}；它的词表多为另一种文字，请用 --text 给出那种语言的文本",
    "every position sees the tokens after it (causal=False)": "每个位置都看得到后面的词元（causal=False）",
    "none: {reason}": "没有：{reason}",
    "a single position: nothing to cache": "只有一个位置：没有可缓存的",
    "log p of {n} tokens differs by {error:.2g} from that without the cache": "{n} 个词元的 log p 与不用缓存时相差 {error:.2g}",
    "{n} tokens have the same log p with and without it, to {error:.0e}":
        "{n} 个词元的 log p 用不用缓存都一样，误差 {error:.0e}",

    # study/costs.py
    "{n:,}: {layers} × {block:,} in blocks, {tables:,} in embeddings":
        "共 {n:,} 个：块中 {layers} × {block:,}，嵌入中 {tables:,}",
    "{flop} per token in training, a third of that in inference": "训练时每个词元 {flop}，推理时为其三分之一",
    "weights {weights}, gradients {gradients}, AdamW's moments {moments}, activations {activations} (a batch of {B} × {T})":
        "权重 {weights}，梯度 {gradients}，AdamW 的两个矩 {moments}，激活值 {activations}（每批 {B} × {T}）",
    "weights {weights}, keys and values {each} per token, {context} for a full context":
        "权重 {weights}，键和值每个词元 {each}，占满上下文时 {context}",
    "weights {weights}, no cache: {reason}": "权重 {weights}，没有缓存：{reason}",
    "{text}: together {total}": "{text}：合计 {total}",
    "{text}, more than the {have} here": "{text}，超过本机的 {have}",
    "training needs {total} of memory": "训练需要 {total} 内存",
    "generation needs {total} of memory": "生成需要 {total} 内存",
    "the training takes {duration}": "训练需要{duration}",
    "{speed:,.0f} tokens/s in batches of {B} × {T}, {flops}.": "每批 {B} × {T} 时每秒 {speed:,.0f} 个词元，{flops}。",
    "not run; at the speed of matrix products alone at most {speed} tokens/s.":
        "没有实际运行；只按矩阵乘法的速度算，每秒最多 {speed} 个词元。",
    "about {duration}": "大约 {duration}",
    "at least {duration}": "至少 {duration}",
    "{text} {run} takes {duration}, without evaluations and samples": "{text}{run}需要{duration}，不含评估和采样",
    "years": "年",
    "days": "天",
    "hours": "小时",
    "minutes": "分钟",
    "seconds": "秒",
    "reads {speed:,.0f} tokens/s": "每秒读 {speed:,.0f} 个词元",
    "{reading}, writes {speed:,.0f} tokens/s": "{reading}，写 {speed:,.0f} 个词元",

    # weights/inspection.py and system/text.py
    "NumPy's npz": "NumPy 的 npz",
    "PyTorch's": "PyTorch 的格式",
    "several and their index": "多个文件及其索引",
    "a TensorFlow checkpoint": "TensorFlow 检查点",
    "llm.c's": "llm.c 的格式",
    "{there} of {all} files": "{all} 个文件中的 {there} 个",
    "{format}: {names}, {size:,} bytes": "{format}：{names}，{size:,} 字节",
    "{n:,} tensor": "{n:,} 个张量",
    "{n:,} tensors": "{n:,} 个张量",
    "{text}; linear layers are (out, in), as torch.nn.Linear has them":
        "{text}；线性层的形状是 (out, in)，与 torch.nn.Linear 相同",
    "the GGUF file": "GGUF 文件",
    "as GPT-2": "与 GPT-2 相同",
    "the tokenizer's {token}": "分词器的 {token}",
    "beyond the vocabulary": "超出词表",
    "none": "无",
    "a tokenizer": "分词器",
    "{n:,} causal mask such as {name}": "{n:,} 个因果掩码，如 {name}",
    "{n:,} causal masks such as {name}": "{n:,} 个因果掩码，如 {name}",
    "tensors {names}": "张量 {names}",
    "the file's {keys}": "文件中的 {keys}",
    "config.json's {keys}": "config.json 中的 {keys}",
    "and {n:,} more": "另有 {n:,} 个",
    ", ": "，",
    "; ": "；",
}
