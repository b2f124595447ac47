batch_size = 12
learning_rate = 0.1


def train():
    return batch_size


exec(open("configurator.py").read())
scaled = learning_rate * batch_size
train()
print(scaled)
