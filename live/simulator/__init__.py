"""A Kraken Futures to test against: the venue's rules, its wire format and its bad days. Demo keys are no secret."""

from __future__ import annotations

import base64

DEMO_ACCOUNT = "demo"
DEMO_API_KEY = "demo-key-of-the-simulated-venue"
DEMO_API_SECRET = base64.b64encode(b"demo secret of the simulated venue, good for nothing else").decode()
