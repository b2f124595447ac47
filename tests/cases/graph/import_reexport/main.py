from model import GPT, attention_scale

GPT().forward()
attention_scale()
