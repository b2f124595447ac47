from abc import abstractmethod


class BaseTrainer:
    def __init__(self, model, loss, epochs):
        self.model = model
        self.loss = loss
        self.epochs = epochs

    @abstractmethod
    def _epoch(self, epoch):
        raise NotImplementedError

    def train(self):
        for epoch in range(self.epochs):
            self._epoch(epoch)
            self._save(epoch)

    def _save(self, epoch):
        return epoch


class Trainer(BaseTrainer):
    def _epoch(self, epoch):
        output = self.model.predict(epoch)
        return self.loss(output, epoch)
