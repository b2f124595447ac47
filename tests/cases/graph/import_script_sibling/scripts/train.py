from model import GPT
import data

GPT()
data.batch()
