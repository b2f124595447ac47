def fit(loss, metric):
    return _epoch(loss, metric)


def _epoch(loss, metric):
    return metric(loss(1))
