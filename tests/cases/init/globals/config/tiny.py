# small enough for a laptop
dataset = "letters"
eval_interval = 10
n_embd = 24
learning_rate = 1e-2
max_iters = 500
decay_iters = 500
