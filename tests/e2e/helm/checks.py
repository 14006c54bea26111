"""The chart, the image and the compose file. None of them is run here: there is no container engine and no cluster."""

import sys

# Each has the checks of one of them.
import chart  # noqa: F401
import compose  # noqa: F401
import image  # noqa: F401
from rendered import check

if __name__ == "__main__":
    sys.exit(0 if check.run() else 1)
