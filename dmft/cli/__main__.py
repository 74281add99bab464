"""``python -m dmft.cli``."""

import sys

from . import main

sys.exit(main())
