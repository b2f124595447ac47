from .parts import scale


class GPT:
    def forward(self):
        return scale()
