"""What goes wrong in the exercises of minigpt/study/exercises/tokens.py, and the words that name it."""

ATTEMPTS = {
    "merge": [
        ([("i += 2", "i += 2\n            merged += ids[i:]\n            break")], "you replaced the first occurrence alone"),
        ([("            i += 2", "            i += 1")], "you went on at i + 1 after a merge"),
        ([("            merged.append(new)\n            i += 2",
          "            merged += [new, ids[i + 1]]\n            i += 2")],
         "the right id of the pair is still there behind the new one"),
        ([("            merged.append(new)", "            merged += [ids[i], new]")],
         "the left id of the pair is still there before the new one"),
        ([("            merged.append(new)", "            merged += [new, new]")],
         "you put in the new id twice, for both of the pair"),
        ([("(ids[i], ids[i + 1]) == pair", "(ids[i], ids[i + 1]) in (pair, pair[::-1])")],
         "you merged the pair in the other order too"),
        ([("(ids[i], ids[i + 1]) == pair", "ids[i] == pair[0]")], "you merged where the pair does not stand"),
        ([("while i < len(ids)", "while i < len(ids) - 1")], "the last id is lost where no pair ends with it"),
        ([("    merged = []", "    ids, pair = ids[::-1], pair[::-1]\n    merged = []"),
          ("    return merged", "    return merged[::-1]")],
         "you went from right to left"),
        ([("    return merged", "    ids[:] = merged\n    return ids")], "you changed your input in place"),
        ([("    return merged", "    return np.array(merged)")], "your merged is a ndarray, expected a list"),
        ([("i + 1 < len(ids) and ", "")], "IndexError"),
        ([("    return merged", "    return None")], "your function returned None"),
    ],
    "learn_merges": [
        ([("+= count", "+= 1")], "you counted each piece once"),
        ([("pairwise(ids)", "set(pairwise(ids))")], "you counted a pair once for each piece"),
        ([("max(sorted(frequent), key=frequent.get)", "max(frequent, key=frequent.get)")],
         "of equally frequent pairs you took the one met first"),
        ([("max(sorted(frequent), key=frequent.get)", "max(frequent, key=lambda pair: (frequent[pair], pair))")],
         "of equally frequent pairs you took the highest"),
        ([("max(sorted(frequent)", "min(sorted(frequent)")], "you merged the rarest pair"),
        ([("256 + len(merges)", "len(merges)")], "your new ids begin at 0, where the bytes are"),
        ([("256 + len(merges)", "257 + len(merges)")], "your new ids begin at 257"),
        ([("len(merges) < n_merges", "len(merges) <= n_merges")], "you made one merge too many"),
        ([("len(merges) < n_merges", "len(merges) < n_merges - 1")], "you made one merge too few"),
        ([("[(list(piece), count) for piece, count in counts.items()]",
          "[([id for piece, n in counts.items() for id in piece * n], 1)]")],
         "you joined the pieces"),
        ([("        frequent = Counter()\n"
          "        for ids, count in pieces:\n"
          "            for pair in pairwise(ids):\n"
          "                frequent[pair] += count", "        if not merges:\n"
          "            frequent = Counter()\n"
          "            for ids, count in pieces:\n"
          "                for pair in pairwise(ids):\n"
          "                    frequent[pair] += count\n"
          "        else:\n"
          "            del frequent[best]")],
         "you counted the pairs at the beginning alone"),
        ([("        if not frequent:\n            break\n", "")], "ValueError"),
        ([("+= count", "+= 1"), ("len(merges) < n_merges", "len(merges) <= n_merges")],
         "you counted each piece once", "you made one merge too many"),
        ([("    return merges", "    return dict(enumerate(merges, 256))")], "your merges is a dict, expected a list"),
    ],
    "top_p": [
        ([("            out[v] = row[v]\n            total += probabilities[v]", "            total += probabilities[v]\n"
          "            if total < p:\n"
          "                out[v] = row[v]")],
         "you ruled out the token with which the sum crosses p"),
        ([("            if total >= p:",
          "            if total - probabilities[np.argsort(-row)[max(0, (out > -np.inf).sum() - 1)]] >= p:")],
         "you kept one token too many"),
        ([("argsort(-row)", "argsort(row)")], "you began with the least probable token"),
        ([("nn.softmax(row)", "row")], "you added up the logits themselves"),
        ([("nn.softmax(row)", "np.exp(row)")], "you added up exp(logits)"),
        ([("-np.inf)", "0.0)")], "you set the logits that go to 0"),
        ([("    return kept", "    return nn.softmax(kept)")], "you returned probabilities"),
        ([("    return kept", "    return np.where(kept > -np.inf, nn.log_softmax(logits), -np.inf)")],
         "you returned log-probabilities"),
        ([("    return kept", "    return np.where(kept > -np.inf, -np.inf, logits)")],
         "you kept the tokens that should go, and the other way round"),
        ([("    return kept", "    return np.where(nn.softmax(logits) >= p, logits, -np.inf)")],
         "you kept each token whose own probability is p or more"),
        ([("    return kept", "    y = nn.softmax(logits)\n"
          "    return np.where(y >= p * y.max(-1, keepdims=True), logits, -np.inf)")],
         "this is min-p, p times the largest probability"),
        ([("    return kept", "    order = np.sort(-logits)\n"
          "    y = nn.softmax(-order)\n"
          "    return np.where(np.cumsum(y, -1) - y < p, -order, -np.inf)")],
         "your logits are sorted"),
        ([("    return kept", "    y = -np.sort(-nn.softmax(logits))\n"
          "    return np.where(np.cumsum(y, -1) - y < p, logits, -np.inf)")],
         "your choice of tokens is still in sorted order"),
        ([("        probabilities = nn.softmax(row)",
          "        probabilities = nn.softmax(logits.ravel()).reshape(logits.shape)[[*map(tuple, logits)].index(tuple(row))]")],
         "your probabilities are over the whole array"),
        ([("            if total >= p:", "            if (out > -np.inf).sum() >= np.ceil(p * len(row)):")],
         "you kept p of the tokens by number"),
    ],
}
