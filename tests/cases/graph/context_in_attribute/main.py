import torch


class Engine:
    def __init__(self, device):
        self.context = torch.amp.autocast(device_type=device)

    def run(self, x):
        with self.context:
            return self.compute(x)

    def compute(self, x):
        return torch.relu(x)

    @torch.inference_mode()
    def sample(self, x):
        return self.compute(x)


engine = Engine("cpu")
engine.run(torch.zeros(1))
engine.sample(torch.zeros(1))
