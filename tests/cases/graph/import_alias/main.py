from shapes import area as measure, Square as Box
import shapes as geometry

measure(2)
geometry.area(3)
Box(1).grow()
