"""A venue's bad days by schedule: which request goes wrong, and how. Same seed, same requests, same faults. [P]

A schedule is JSON: {"seed": 7, "rules": [{"kind": "lost_reply", "path": "sendorder", "nth": [2]}, ...]}. Each rule
counts the requests it matches; the first rule that fires decides. Its own random stream keeps a rule independent of
the others.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PositiveInt, TypeAdapter


class FaultKind(StrEnum):
    """What goes wrong. Those marked * have acted when the client learns of it; `acts` turns this for those marked ?."""

    LOST_REQUEST = "lost_request"  # the connection closes before the venue has read anything
    LOST_REPLY = "lost_reply"  # * the venue acts, the connection closes without an answer
    RESET = "reset"  # ? the connection is reset
    LATE_REQUEST = "late_request"  # arrives `seconds` late: processBefore may have passed
    LATE_REPLY = "late_reply"  # * acts at once, answers `seconds` late
    DUPLICATE = "duplicate"  # * delivered twice; the second answer is lost
    HTTP_STATUS = "http_status"  # ? `status` with Kraken's error body
    HTML = "html"  # ? a proxy's HTML page with `status`
    RESULT_ERROR = "result_error"  # ? HTTP 200, result: error, `error`
    MISSING_KEY = "missing_key"  # * `key` (dotted) is absent from the answer
    SET_KEY = "set_key"  # * `key` (dotted) has `value` instead
    TRUNCATED = "truncated"  # * half of the JSON text
    PARTIAL_FILL = "partial_fill"  # * the order's first execution takes only `fraction` of it


_ACTS = frozenset(
    {
        FaultKind.LOST_REPLY,
        FaultKind.LATE_REQUEST,
        FaultKind.LATE_REPLY,
        FaultKind.DUPLICATE,
        FaultKind.MISSING_KEY,
        FaultKind.SET_KEY,
        FaultKind.TRUNCATED,
        FaultKind.PARTIAL_FILL,
    }
)


_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When and how. path: an endpoint's end ("sendorder") or a glob of the whole path; where: globs by parameter
    ({"cliOrdId": "*-s"} means stops only). nth: which of the matching requests, from 1; empty means all of them.
    probability: of those; times: at most so often. from_seconds, until_seconds: since the schedule began.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: FaultKind
    path: str = "*"
    method: str = "*"
    where: Mapping[str, str] = field(default_factory=dict)
    nth: tuple[PositiveInt, ...] = ()
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    times: PositiveInt | None = None
    from_seconds: _NotNegative = 0.0
    until_seconds: _NotNegative | None = None
    acts: bool | None = None
    seconds: _NotNegative = 1.0
    status: Annotated[int, Field(ge=200, le=599)] = 503
    error: str = "Server Error"
    key: str = ""
    value: Any = None
    fraction: Annotated[Decimal, Field(gt=0, le=1)] = Decimal("0.5")

    def __post_init__(self) -> None:
        if self.kind in (FaultKind.MISSING_KEY, FaultKind.SET_KEY) and not self.key:
            raise ValueError(f"{self.kind} needs a key")

    @property
    def does_act(self) -> bool:
        """Whether the venue carries the request out."""
        return self.kind in _ACTS if self.acts is None else self.acts

    def matches(self, method: str, path: str, params: Mapping[str, str], elapsed_seconds: float) -> bool:
        pattern = self.path if "/" in self.path or self.path.startswith("*") else f"*/{self.path}"
        return (
            fnmatchcase(path, pattern)
            and fnmatchcase(method, self.method)
            and self.from_seconds <= elapsed_seconds
            and (self.until_seconds is None or elapsed_seconds < self.until_seconds)
            and all(fnmatchcase(params.get(name, ""), glob) for name, glob in self.where.items())
        )


class FaultSchedule:
    """Rules with their counts. Knows no socket: `decide` names the rule that strikes a request, the server obeys."""

    def __init__(self, rules: Sequence[Rule] = (), *, seed: int = 0) -> None:
        self.rules = tuple(rules)
        self.seed = seed
        self.matched = [0] * len(self.rules)
        self.struck = [0] * len(self.rules)
        self._random = [random.Random(f"{seed}/{number}") for number in range(len(self.rules))]

    def decide(self, method: str, path: str, params: Mapping[str, str], *, elapsed_seconds: float) -> Rule | None:
        """The rule that strikes this request, or None. Every matching rule counts it and draws its lot."""
        striking: int | None = None
        for number, rule in enumerate(self.rules):
            if rule.matches(method, path, params, elapsed_seconds) and self._fires(number, rule) and striking is None:
                striking = number
        if striking is None:
            return None
        self.struck[striking] += 1
        return self.rules[striking]

    def _fires(self, number: int, rule: Rule) -> bool:
        self.matched[number] += 1
        lucky = self._random[number].random() < rule.probability
        spent = rule.times is not None and self.struck[number] >= rule.times
        return lucky and not spent and (not rule.nth or self.matched[number] in rule.nth)

    def as_json(self) -> dict[str, Any]:
        rules = [
            {"kind": rule.kind, "path": rule.path, "matched": matched, "struck": struck}
            for rule, matched, struck in zip(self.rules, self.matched, self.struck, strict=True)
        ]
        return {"seed": self.seed, "rules": rules}


@dataclass(frozen=True, slots=True)
class _ScheduleFile:
    __pydantic_config__ = ConfigDict(extra="forbid")

    rules: list[Rule]
    seed: int | None = None


_ADAPTER = TypeAdapter(_ScheduleFile)


def parse_schedule(data: Any, *, seed: int = 0) -> FaultSchedule:
    """A schedule from parsed JSON: a list of rules, or {"seed", "rules"}. Raises ValueError naming what is wrong."""
    found = _ADAPTER.validate_python({"rules": data} if isinstance(data, list) else data)
    return FaultSchedule(found.rules, seed=seed if found.seed is None else found.seed)


def load_schedule(text: str, *, seed: int = 0) -> FaultSchedule:
    """A schedule from JSON text. Raises ValueError."""
    return parse_schedule(json.loads(text), seed=seed)


def without_key(body: Any, key: str) -> Any:
    """The body without the dotted key ("accounts.flex.portfolioValue"); a list on the way means each of its items."""
    return _altered(body, key.split("."), remove=True, value=None)


def with_key(body: Any, key: str, value: Any) -> Any:
    """The body with the dotted key set to `value`, where its parents exist."""
    return _altered(body, key.split("."), remove=False, value=value)


def _altered(body: Any, path: Sequence[str], *, remove: bool, value: Any) -> Any:
    if isinstance(body, list):
        return [_altered(item, path, remove=remove, value=value) for item in body]
    if not isinstance(body, dict):
        return body
    head, rest = path[0], path[1:]
    if rest:
        return {k: _altered(v, rest, remove=remove, value=value) if k == head else v for k, v in body.items()}
    kept = {k: v for k, v in body.items() if k != head}
    return kept if remove else {**kept, head: value}
