import torch
import torch.nn as nn


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)


class Teacher(Student):
    pass


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, dict(lr=lr))

    def step(self):
        return None


student = torch.compile(Student().to("cpu"), backend="eager")
teacher = Teacher().eval()
optimizer = Muon(student.parameters(), lr=0.1)
trainable = filter(lambda p: p.requires_grad, student.parameters())
other = torch.optim.Adam(list(trainable))
