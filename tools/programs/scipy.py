# requires: scipy
import scipy.linalg
import scipy.optimize
import scipy.sparse.linalg
import scipy.spatial
import scipy.stats

assert round(scipy.stats.norm.cdf(1.96), 3) == 0.975
assert scipy.linalg.det([[2, 0], [0, 3]]) == 6
assert abs(scipy.optimize.brentq(lambda x: x * x - 2, 0, 2) - 2**0.5) < 1e-9
