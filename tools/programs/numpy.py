# requires: numpy
import numpy
from numpy.linalg import inv

assert numpy.allclose(inv(numpy.eye(300) * 2), numpy.eye(300) / 2)
assert numpy.fft.fft([1, 0]).tolist() == [1, 1]
assert numpy.random.default_rng(1).integers(10, size=3).shape == (3,)
