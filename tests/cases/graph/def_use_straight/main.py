def norm(x, scale):
    y = x
    y = y * scale
    z = [y + part for part in x]
    first, rest = z[0], z[1:]
    (last := rest)
    return first, last


width = 4
depth = width
width = 8
print(width, depth)
