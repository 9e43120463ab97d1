"""What is said of any attempt, in Chinese: {English: Chinese}."""

CHINESE = {
    # __init__.py
    "{n} of {all} done": "已完成 {n}/{all}",
    "{name}, hint {number} of {last}: {hint}": "{name}，提示 {number}/{last}：{hint}",
    'That was the last one; exercises.solution("{name}"{again}) shows how minigpt does it.':
        '这是最后一个提示；exercises.solution("{name}"{again}) 显示 minigpt 的做法。',
    "{file}, line {line}": "{file}，第 {line} 行",
    "s is the layer's Scope, with arrays by name in s.params, s.acts, s.grads and s.dacts. s.record(…) and s.record_grad(…) "
    "keep "
    "an array in s.acts and s.dacts, and return it.":
        "s 是该层的 Scope，s.params、s.acts、s.grads 和 s.dacts 中按名字存放数组。s.record(…) 和 s.record_grad(…) "
        "把数组存入 s.acts 和 s.dacts，并返回它。",
    "{name}: not yet.": "{name}：还不对。",
    "  Right already: {outputs}.": "  已经正确：{outputs}。",
    'exercises.hint("{name}"{again}) gives the next hint.': 'exercises.hint("{name}"{again}) 给出下一个提示。',
    "{name}: right. {outputs}: the same as minigpt's on every shape tried.":
        "{name}：正确。{outputs}：在试过的每种形状上都与 minigpt 的相同。",
    'exercises.solution("{name}"{again}) shows how minigpt does it.':
        'exercises.solution("{name}"{again}) 显示 minigpt 的做法。',

    # exercise.py
    "your {output} lacks {term}": "你的 {output} 缺少{term}",
    "a sign is wrong in your {output}: {term} is subtracted, not added": "你的 {output} 有一个符号错了：{term} 是减去，"
                                                                         "不是加上",
    "a sign is wrong in your {output}: {term} is added, not subtracted": "你的 {output} 有一个符号错了：{term} 是加上，"
                                                                         "不是减去",

    # running.py
    "your function returned None: does it end in return {outputs}?": "你的函数返回了 None：它以 return {outputs} 结尾吗？",
    "your function returned {many}, expected {n} in this order: {outputs}":
        "你的函数返回了 {many}，应返回 {n} 个，次序为：{outputs}",
    "1 array": "1 个数组",
    "{n} arrays": "{n} 个数组",
    "{error}\n    it is called as {call}": "{error}\n    调用方式是 {call}",
    "{error}\n    on your line {line}\n    with {inputs}": "{error}\n    在你的第 {line} 行\n    输入：{inputs}",

    # guesses.py
    "the exponential": "指数",
    "the logarithm": "对数",
    "the square": "平方",
    "the square root": "平方根",
    "the inverse, 1/x,": "倒数 1/x",
    "the softmax": "softmax 值",
    "the absolute value": "绝对值",
    "the positive part": "正的部分",
    "your {output} is {what} of the right one": "你的 {output} 是正确结果的{what}",
    "your {output} is what {other} should be: return {outputs} in this order":
        "你的 {output} 是 {other} 应有的值：请按这个次序返回 {outputs}",
    "{a} and {b} have changed places; the arguments come in the order {order}": "{a} 和 {b} 互换了；参数的次序是 {order}",
    "your {output} takes no notice of {input}: it is what comes out with {value} everywhere in its place":
        "你的 {output} 没有用到 {input}：把它处处换成 {value} 就得到这个结果",

    # wording.py
    "your {output} is None": "你的 {output} 是 None",
    "your {output} is a {kind}, expected a list": "你的 {output} 是 {kind}，应为列表",
    "your {output} is a {kind}, expected {expected}": "你的 {output} 是 {kind}，应为{expected}",
    "a float": "浮点数",
    "an array": "数组",
    "your {output} is {dtype}, expected float64, as the inputs are: np.zeros_like(x) takes its dtype from x, and x.astype(…) "
    "changes it":
        "你的 {output} 是 {dtype}，应和输入一样是 float64：np.zeros_like(x) 的 dtype 取自 x，而 x.astype(…) 会改变它",
    "your {output} has shape {shape}, expected {expected} = {letters}": "你的 {output} 的形状是 {shape}，应为 {expected} = "
                                                                        "{letters}",
    "{words}: the numbers are right, so leave out keepdims=True or reshape": "{words}：数值正确，去掉 keepdims=True 或者 "
                                                                             "reshape",
    "{words}: it is transposed": "{words}：它转置了",
    "{words}: it is not summed over {over} yet": "{words}：还没有对 {over} 求和",
    " and ": " 和 ",
    "your {output}{at} is {value}: look for 0/0, ∞ − ∞, 0 · ∞ and log 0":
        "你的 {output}{at} 是 {value}：请找 0/0、∞ − ∞、0 · ∞ 和 log 0",
    "the wrong sign": "符号相反",
    " and the wrong sign": "，而且符号相反",
    "the factor 1/{number}: yours is {number} times too large{sign}{besides}":
        "因子 1/{number}：你的是应有的 {number} 倍{sign}{besides}",
    " (is something added up twice?)": "（是不是加了两次？）",
    "the factor {number}: yours is {number} times too small{sign}": "因子 {number}：你的只有应有的 1/({number}){sign}",
    "a factor: yours is {number:.6g} times too large{sign}": "一个因子：你的是应有的 {number:.6g} 倍{sign}",
    "{call} should be {truth}, yours is {yours}": "{call} 应为 {truth}，你的是 {yours}",
    "your {output} is nearly right, off by {error:.0e} of its largest number: is there a float32, or an ε too many?":
        "你的 {output} 几乎正确，误差是最大数的 {error:.0e}：是不是有 float32，或者多了一个 ε？",
    "your {output} differs from the truth in {n} of {size} numbers{first}: yours is {yours:.6g}, expected "
    "{expected:.6g}{where}":
        "你的 {output} 有 {n} 个数与正确结果不同（共 {size} 个）{first}：你的是 {yours:.6g}，应为 {expected:.6g}{where}",
    ", first at {at}": "，最先在 {at}",
    "; that is with {sizes}, while it is right with {others}": "；这是 {sizes} 时的情形，而 {others} 时是正确的",

    # diagnosis.py
    "your {output} is zero everywhere": "你的 {output} 处处为零",
    "your {output} is right but for {factor}": "你的 {output} 只差一点：{factor}",
    "{words}; besides, there is {factor}": "{words}；此外还差{factor}",
    "{invariant}; here it is off by {worst:.3g}{at}": "{invariant}；这里相差 {worst:.3g}{at}",
    " at {at}": "（在 {at}）",
    "right on ordinary numbers, but not on large ones: {reason}": "对普通的数正确，对很大的数不正确：{reason}",
    "called a second time with the same inputs, your function gives something else: does it add to what an earlier call left, "
    "or "
    "draw random numbers?":
        "用同样的输入再调用一次，你的函数给出了别的结果：它是不是累加到了上次留下的值上，或者抽取了随机数？",
    "you changed your input in place: {names}. The caller may still need it: write x = x * 2 instead of x *= 2, or work on "
    "x.copy()":
        "你就地修改了输入：{names}。调用者可能还要用它：请写 x = x * 2，而不是 x *= 2，或者用 x.copy()",
}
