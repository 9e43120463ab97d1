"""A walk over all that a scope stores."""


def stored(s):
    """{"acts y": array, …}: all that a scope's four stores hold, to be walked over"""
    stores = {"params": s.params, "grads": s.grads, "acts": s.acts, "dacts": s.dacts}
    return {f"{kind} {name}": array for kind, store in stores.items() for name, array in store.items()}


def dtypes(s):
    """The set of dtypes of a scope's arrays, ids and masks of booleans left out"""
    return {array.dtype for array in stored(s).values() if array.dtype.kind == "f"}
