def log():
    return 1


def fit():
    return fit.hook()


fit.hook = log
fit()
run = fit
run()
