CONFIG = {
    "lr": 0.1,
    "width": 64,
    "depth": 2,
    "unused": None,
}
