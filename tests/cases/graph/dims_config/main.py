from config import Config
from model import GPT

GPT(Config())
