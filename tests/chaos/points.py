"""The named points of the send path at which a worker can be frozen, in their order. [P]"""

POINTS = ("intended", "signed", "connected", "permitted", "answered")
"""Intent committed; request signed; connection open, before the last permit; after it, before the first byte; answered
and not yet written down."""
