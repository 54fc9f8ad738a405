"""The processes that the acceptance tests start, for a dashboard of a real worker."""

from tests.acceptance.conftest import start, venue

__all__ = ["start", "venue"]
