import layers

layers.norm()
layers.attend()
