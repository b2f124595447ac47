from config import Config
from train import Trainer, train

config = Config(lr=0.2)
train(config, Config.depth)
Trainer(config).fit()
