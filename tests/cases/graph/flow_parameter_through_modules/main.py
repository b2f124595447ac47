from engine import fit
from losses import hinge

fit(hinge, metric=lambda value: value)
