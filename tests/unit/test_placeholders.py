"""A placeholder is not a credential; a real key never looks like one."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodsafe.environment import read_environment
from prodsafe.spelling import nearest, within
from prodsafe.values import looks_like_placeholder

PLACEHOLDERS = [
    "${KRAKEN_FUTURES_API_KEY}",
    "$KRAKEN_API_KEY",
    "prefix-${KEY}-suffix",
    "$(cat /run/secret)",
    "{{ vault.key }}",
    "%(key)s",
    "<your key>",
    "[API KEY]",
    "changeme",
    "CHANGE_ME",
    "change-me-please",
    "changeit",
    "your_api_key",
    "YOUR-API-SECRET-HERE",
    "yourkrakenfuturessecret",
    "my_api_key_1",
    "insert key here",
    "replace_with_real_key",
    "replaceme",
    "xxx",
    "XXXXXXXXXXXXXXXXXXXX",
    "xxxx-xxxx-xxxx",
    "****************",
    "................",
    "00000000000000000000",
    "placeholder",
    "PLACEHOLDER_SECRET",
    "example_key_0",
    "dummy-secret",
    "fake.api.key",
    "todo_later",
    "api_key",
    "secret_key_goes_here",
    "test-secret",
    "password",
    "undefined",
    "REDACTED",
    "1234567890",
    "abcdefghijklmnop",
    "deadbeef",
]
UNUSABLE = [
    "'abcdefg1hijklmn'",
    '"s3cr3tvalue"',
    " s3cr3tvalue",
    "s3cr3tvalue\n",
    "s3cr3tvаlue1",
    "s3c\x00r3tvalue",
    "s3c\u200br3tvalue",
    "short7x",
]


@pytest.mark.parametrize("value", [*PLACEHOLDERS, *UNUSABLE])
@pytest.mark.parametrize("name", ["EXCHANGE_API_KEY", "EXCHANGE_API_SECRET", "EXCHANGE_API_PASSWORD"])
def test_placeholders_are_refused_and_not_shown(name: str, value: str) -> None:
    """W45: the literal text ${KRAKEN_FUTURES_API_KEY} went to the venue as the key."""
    env = read_environment({name: value})

    assert getattr(env, name.lower()) is None
    assert [problem.id for problem in env.problems] == ["G08"]
    assert env.problems[0].seen == f"{name}=({len(value)} characters, not shown)"


@given(st.binary(min_size=24, max_size=64), st.sampled_from([base64.b64encode, base64.urlsafe_b64encode, bytes.hex]))
def test_random_keys_are_credentials(raw: bytes, encode: object) -> None:
    encoded = encode(raw)  # type: ignore[operator]
    key = encoded if isinstance(encoded, str) else encoded.decode()

    if len(set(raw)) > 6:
        assert not looks_like_placeholder(key)
        assert read_environment({"EXCHANGE_API_KEY": key}).exchange_api_key == key


def test_pem_keys_with_line_ends_are_credentials() -> None:
    body = "MHcCAQEEIBkg4LVWM9nuwNSk3yByxZpYRTBnVJk5oGu1Z4VQw2aX"
    pem = f"-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----"

    assert read_environment({"EXCHANGE_API_SECRET": pem}).exchange_api_secret == pem


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [
        ("ABC", "ABC", 0),
        ("ABC", "ACB", 1),
        ("ABC", "AB", 1),
        ("ABC", "XABC", 1),
        ("ABC", "AXC", 1),
        ("ABCD", "BADC", 2),
        ("ABC", "", 3),
    ],
)
def test_distance_counts_edits_and_swaps(left: str, right: str, edits: int) -> None:
    assert within(left, right, edits) and within(right, left, edits)
    assert edits == 0 or not within(left, right, edits - 1)


@given(st.text("ABC_", max_size=9), st.text("ABC_", max_size=9), st.integers(0, 2))
def test_distance_agrees_with_the_textbook_table(left: str, right: str, edits: int) -> None:
    assert within(left, right, edits) is (restricted_distance(left, right) <= edits)


def restricted_distance(left: str, right: str) -> int:
    """Optimal string alignment by dynamic programming: slow, and plainly right."""
    rows = [[max(i, j) if not i * j else 0 for j in range(len(right) + 1)] for i in range(len(left) + 1)]
    for i in range(1, len(left) + 1):
        for j in range(1, len(right) + 1):
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (left[i - 1] != right[j - 1]))
            if i > 1 and j > 1 and left[i - 1] == right[j - 2] and left[i - 2] == right[j - 1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


def test_the_nearest_name_wins() -> None:
    known = ["RISK_MAX_POSITIONS", "RISK_MAX_POSITION"]

    assert nearest("RISK_MAX_POSITIONSS", known) == "RISK_MAX_POSITIONS"
    assert nearest("RISK_MAX_POSITION", known) is None
