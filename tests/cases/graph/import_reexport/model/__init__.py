from model.gpt import GPT
from .parts import scale as attention_scale
