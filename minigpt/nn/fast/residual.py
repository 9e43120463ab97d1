"""The residual connection's twin: the sum stands where the branch stood, whose output is not needed again."""


def residual_forward(x, branch, s):
    """y = x + branch"""
    branch += x[..., -branch.shape[-2] :, :]
    return branch


def residual_backward(dy, dbranch, s):
    """dx = dy + dbranch"""
    dbranch += dy
    return dbranch
