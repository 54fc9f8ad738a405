"""Which known name somebody probably meant. [P]"""

from __future__ import annotations

from collections.abc import Collection


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that `name` misspells, or None; a known name misspells nothing.

    Case is not counted. Short names are near each other by chance (PORT, SORT), so the allowance grows with length.
    """
    if name in known:
        return None
    upper = name.upper()
    for edits in (0, 1, 2):
        for candidate in known:
            if edits <= _allowance(candidate) and within(upper, candidate.upper(), edits):
                return candidate
    return None


def within(left: str, right: str, edits: int) -> bool:
    """True when at most `edits` insertions, deletions, substitutions or swaps of neighbours make one the other."""
    if abs(len(left) - len(right)) > edits:
        return False
    at = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        at += 1
    left, right = left[at:], right[at:]
    if not left or not right:
        return True  # the lengths differ by no more than the edits
    if edits == 0:
        return False
    swapped = left[:2] == right[1::-1] and within(left[2:], right[2:], edits - 1)
    return (
        swapped
        or within(left[1:], right[1:], edits - 1)
        or within(left[1:], right, edits - 1)
        or within(left, right[1:], edits - 1)
    )


def _allowance(known: str) -> int:
    if len(known) < 6:
        return 0
    return 1 if len(known) < 12 else 2
