def make_scaler(factor, scale):
    def scaled(value):
        return scale(value) * factor

    return scaled


def double(value):
    return 2 * value


scaler = make_scaler(3, double)
scaler(1)
make_scaler(4, double)(2)
