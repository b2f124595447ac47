from attention import kernel

kernel.forward(1)
