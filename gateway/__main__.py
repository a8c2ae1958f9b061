"""`python -m gateway` is `tollgate`."""

from __future__ import annotations

import sys

from gateway.main import main

sys.exit(main())
