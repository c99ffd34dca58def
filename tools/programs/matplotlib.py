# requires: matplotlib
import io

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

plt.plot([1, 2, 4])
plt.title("§ ∑ text")
picture = io.BytesIO()
plt.savefig(picture, format="png")
assert picture.getvalue().startswith(b"\x89PNG") and len(picture.getvalue()) > 5000
