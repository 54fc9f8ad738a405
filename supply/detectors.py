"""Shapes of secrets that detect-secrets, which loads this file by its path, does not know. [P]"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Generator

from detect_secrets.plugins.base import BasePlugin, RegexBasedDetector
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.keyword import KeywordDetector

_LONG_WORD = re.compile(r"(?<![A-Za-z0-9+/=_.-])[A-Za-z0-9+/]{40,}={0,2}(?![A-Za-z0-9+/=_-])")
_CASES = [re.compile(kind) for kind in ("[a-z]", "[A-Z]", "[0-9]")]
_SHORTEST_RUN = 20  # letters; a path has a slash more often than chance gives one
_LEAST_BITS = 4.5  # per letter; random base64 of 40 letters has about 4.8, words run together about 4.2
_NOBODYS_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\]|HOST|(?:[\w-]+\.)*example(?:\.\w+)?)(?![\w.-])")
_DOTLESS_HOST = re.compile(r"[\w-]+(?![\w.-])")


class ExchangeKeyDetector(BasePlugin):
    """Keys as venues give them (Kraken: 56 and 88 letters of base64; Binance: 64), also unquoted in a text (I62)."""

    secret_type = "Exchange Key"

    def analyze_string(self, string: str) -> Generator[str, None, None]:
        for word in _LONG_WORD.findall(string):
            mixed = all(case.search(word) for case in _CASES) and max(map(len, word.split("/"))) >= _SHORTEST_RUN
            if mixed and bits_per_letter(word) >= _LEAST_BITS:
                yield word


class WebhookDetector(RegexBasedDetector):
    """Addresses that post for whoever knows them."""

    secret_type = "Webhook"
    denylist = (
        re.compile(r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d+/([\w-]{20,})"),
        re.compile(r"https://[\w.-]+\.webhook\.office\.com/([\w@/-]{30,})"),
    )


def bits_per_letter(word: str) -> float:
    """Shannon's entropy of the word's letters."""
    return -sum(n / len(word) * math.log2(n / len(word)) for n in Counter(word).values())


def is_nobodys(secret: str, line: str, filename: str, plugin: BasePlugin) -> bool:
    """A filter of detect-secrets: a password of a loopback, example or placeholder host, and a word that only a name
    beside it makes a secret in a test. What has the shape of a real one counts there too.
    """
    in_tests = "/tests/" in filename
    if isinstance(plugin, KeywordDetector):
        return in_tests
    if not isinstance(plugin, BasicAuthDetector):
        return False
    if secret == "PASSWORD":  # as a manual writes an address
        return True
    host = line[line.find(f":{secret}@") + len(secret) + 2 :]
    return bool(_NOBODYS_HOST.match(host) or (in_tests and _DOTLESS_HOST.match(host)))
