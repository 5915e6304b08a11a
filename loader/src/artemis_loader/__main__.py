"""Lets `python -m artemis_loader` stand for `artemis-loader`."""

import sys

from artemis_loader.cli import main

sys.exit(main())
