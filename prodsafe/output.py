"""The one exit for everything a person or a machine reads; secrets are masked here and nowhere else. [E]"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO
from urllib.parse import quote

from prodsafe.errors import ExitCode, Refusal, Refused

MASKED = "***"
SHORTEST_MASKED = 4  # masking every "1" or "no" would hide nothing and make the output unreadable

# up to the last @ of the address: a password may hold one, unescaped
_URL_PASSWORD = re.compile(r"(://[^:/@\s\"']*:)[^/\s\"']+(@)")
_CONNINFO_PASSWORD = re.compile(r"(\b(?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&\"']+)", re.IGNORECASE)
_secrets: set[str] = set()


def register_secrets(values: Iterable[str]) -> None:
    """From now on these values never leave the process in readable form: as they are, JSON-escaped, repr or %-escaped.

    Blank values and those under SHORTEST_MASKED characters are ignored.
    """
    for value in values:
        if len(value.strip()) >= SHORTEST_MASKED:
            _secrets.update({value, json.dumps(value)[1:-1], repr(value)[1:-1], _quoted(value)})


def mask(text: str) -> str:
    """The text with every registered secret, URL password and conninfo password replaced."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, MASKED)
    text = _URL_PASSWORD.sub(rf"\g<1>{MASKED}\g<2>", text)
    return _CONNINFO_PASSWORD.sub(rf"\g<1>{MASKED}", text)


def say(text: str = "") -> None:
    _print(mask(text), sys.stdout)


def say_error(text: str) -> None:
    _print(mask(text), sys.stderr)


def say_json(value: Any) -> None:
    """One line of JSON. Texts are masked before they are encoded: it stays JSON whatever a secret looks like."""
    _print(json.dumps(_masked(value), default=lambda other: mask(str(other))), sys.stdout)


def refuse(refusals: Sequence[Refusal], *, as_json: bool = False) -> None:
    """Print refusals: text on stderr, and with `as_json` also one JSON object on stdout."""
    if as_json:
        say_json({"ok": False, "refusals": [refusal.as_dict() for refusal in refusals]})
    for refusal in refusals:
        say_error(refusal.as_text())


def warn(refusals: Sequence[Refusal]) -> None:
    """Print soft refusals that do not stop this boot."""
    for refusal in refusals:
        say_error(refusal.as_text("warning"))


def run_entry(body: Callable[[], int], *, as_json: bool = False, interrupted: ExitCode = ExitCode.OK) -> int:
    """Run an entry point's body and turn what it raises into SPEC section 4's exit codes.

    interrupted: the code after Ctrl-C, which is no success for a command that does one thing. A refusal prints itself;
    an exception that nobody foresaw is a bug: its masked trace goes to stderr, exit 70.
    """
    try:
        return body()
    except Refused as refused:
        refuse(refused.refusals, as_json=as_json)
        return refused.exit_code
    except KeyboardInterrupt:
        if interrupted is not ExitCode.OK:
            say_error("stopped by a signal before it ended; what it was asked for may be done or not")
        return interrupted
    except Exception:  # noqa: BLE001 - the outermost frame: a bug must still leave masked, with exit code 70
        import traceback

        say_error(traceback.format_exc())
        say_error("bug: unexpected exception, nothing was swallowed; report it with the trace above")
        return ExitCode.BUG


def _print(text: str, stream: TextIO) -> None:
    try:
        print(text, file=stream, flush=True)
    except (
        BrokenPipeError
    ):  # whoever read this went away (`| head`): that stops no worker, and no second failure at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {_masked(key): _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return value


def _quoted(value: str) -> str:
    return quote(value, safe="", errors="surrogatepass")
