"""`python -m vs_slomo` is `vs-slomo`."""

import sys

from .cli import main

sys.exit(main())
