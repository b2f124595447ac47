class State:
    step: int = 0
    best: float = 9.0


def advance(state: State, loss):
    state.step = state.step + 1
    if loss < state.best:
        state.best = loss


state = State()
advance(state, 1.0)
print(state.best)
