"""Lets `python -m artemis_server` stand for `artemis-server`."""

import sys

from artemis_server.cli import main

sys.exit(main())
