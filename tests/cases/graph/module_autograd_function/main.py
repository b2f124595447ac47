import torch


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return helper(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def helper(x):
    return x * x


square = Square.apply
Square.apply(torch.zeros(1))
square(torch.zeros(1))
