"""How one raw environment value is read: strictly, or not at all. [P]

Every reader takes the raw text and returns a typed value, or raises ValueError whose message says what is wrong
with it and never repeats it: the caller decides whether the value may be shown.
"""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

BLANKS = " \t\r\n"
TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
NOT_PRODUCTION = frozenset({"staging", "dev", "test"})  # every other word, and none, is guarded as production
POSTGRES_SCHEMES = ("postgresql://", "postgres://")
LONGEST_SCOPE = 200
BLINDING = {
    "hostaddr": "it leads elsewhere than host, which is what is shown and what TLS checks; write the place as host",
    "service": "where it leads stands in a file on each machine; write host and database into the address",
    "options": "it can switch off what fences writes (session_replication_role, search_path);"
    " for what you need use ALTER ROLE ... SET",
}
_PRIMARY_ONLY = ("read-write", "primary")
SHORTEST_CREDENTIAL = 8  # no venue hands out a shorter one; a short one is a stub or was cut off

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_PORT = re.compile(r"[0-9]{1,5}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_EXCHANGE_ID = re.compile(r"[a-z][a-z0-9]{1,40}")
_IN_BRACKETS = re.compile(r"(?<![^,])\[[0-9A-Fa-f:.]+\]")  # an IPv6 address
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL}){{0,20}}")
_TEMPLATE = re.compile(r"\$\{|\$\(|\{\{|%\(|^\$\w+$|^<.*>$|^\[.*\]$")
_STUB_WORD = r"(your|my|insert|replace|change|enter|put|example|sample|dummy|fake|placeholder|todo|fixme)"
_STUB_PHRASE = re.compile(rf"{_STUB_WORD}s?([-_ .]+([a-z]{{1,12}}[0-9]{{0,2}}|[0-9]{{1,2}}))+")  # CHANGE_ME, your-key-1
_STUB_RUN = re.compile(r"(your|insert|changeme|replaceme|placeholder)[a-z]{0,30}")  # yourkrakenkeyhere
_STUB = re.compile(
    r"(api|my|test|fake|demo|secret|public|private)*(key|secret|token|password|passphrase)s?(goes)?(here)?"
    r"|changeit|fillmein|redacted|undefined|deadbeef|abcdefgh[a-z]*|abc12345|0?12345678(90?)?"
)  # compared without separators and case; what is shorter than a credential is refused for that


def read_boolean(raw: str) -> bool:
    """1/true/yes/on or 0/false/no/off, in any case, surrounding blanks ignored."""
    word = raw.strip(BLANKS).lower() if raw.isascii() else ""
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise ValueError("is not a boolean: 1/true/yes/on or 0/false/no/off")


def read_environment_word(raw: str) -> str:
    """One of the four words, exactly: a look-alike must not choose a gentler environment."""
    if raw == "prod" or raw in NOT_PRODUCTION:
        return raw
    raise ValueError("is none of prod, staging, dev, test, letter for letter; it counts as production for every guard")


def read_confirmation(raw: str) -> bool:
    if raw == "YES":
        return True
    raise ValueError("is not exactly YES")


def read_port(raw: str) -> int:
    text = raw.strip(BLANKS)
    if _PORT.fullmatch(text) and 1 <= int(text) <= 65535:
        return int(text)
    raise ValueError("is not a port: a whole number from 1 to 65535")


def read_seconds(raw: str) -> float:
    """Plain decimal seconds, not negative; exponents, signs, `inf` and `nan` are refused."""
    text = raw.strip(BLANKS)
    if _SECONDS.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    raise ValueError("is not a number of seconds, 0 or more, such as 30 or 2.5")


def read_account(raw: str) -> str:
    """The account's name is part of the lease's scope: two spellings of one name would be two leases."""
    if _NAME.fullmatch(raw):
        return raw
    raise ValueError("is not a plain name: up to 63 of A-Z a-z 0-9 . _ -, starting with a letter or digit")


def read_scope(raw: str) -> str:
    """What one process at a time may do. One that looks like another but is spelt otherwise would be another lease."""
    if not raw.strip():
        raise ValueError("is empty; name what may be done by one process at a time, such as bot-7")
    if len(raw) > LONGEST_SCOPE:
        raise ValueError(f"is longer than {LONGEST_SCOPE} characters; a name such as bot-7 is enough")
    if raw != raw.strip():
        raise ValueError("begins or ends with a blank; the same name without it would be another scope")
    if not raw.isprintable():
        raise ValueError("holds a control or an invisible character, such as a line end; use visible ones, as in bot-7")
    if not unicodedata.is_normalized("NFC", raw):
        raise ValueError("holds an accent as a character of its own; the same name typed elsewhere is another scope")
    return raw


def read_exchange_id(raw: str) -> str:
    if _EXCHANGE_ID.fullmatch(raw):
        return raw
    raise ValueError("is not a ccxt exchange id: lower-case letters and digits, such as krakenfutures")


def read_host(raw: str) -> str:
    """An IP address or a host name to listen on."""
    if raw.isascii() and (_is_ip(raw) or (_HOST_NAME.fullmatch(raw) and not _looks_numeric(raw))):
        return raw
    raise ValueError("is not an address to listen on: an IP address or a host name")


def read_database_url(raw: str) -> str:
    """A libpq URL that names one database, on one server or on the servers of one cluster.

    Several servers are one cluster only where target_session_attrs makes every connection look for its primary.
    Refused is also what makes a connection lead elsewhere, or be something else, than the address shows: BLINDING.
    """
    _refuse_unprintable(raw)
    _refuse_template(raw)
    if not raw.startswith(POSTGRES_SCHEMES):
        raise ValueError("does not start with postgresql:// or postgres://")
    url = _split_database_url(raw)
    brackets = re.search(r"[\[\]]", _IN_BRACKETS.sub("", url.servers) + url.credentials)
    if brackets or "?" in url.credentials or "@" in url.servers + url.query:
        raise ValueError("cannot be taken apart: are special characters %-escaped, an @ in the password as %40?")
    options = _options(url.query)
    for name, why in BLINDING.items():
        if name in options:
            raise ValueError(f"holds {name}=: {why}")
    for name, written in (("host", url.servers), ("dbname", url.database)):
        if written and name in options:
            raise ValueError(f"says the {name} twice; the one after the ? would win unseen")
    if not (url.database or options.get("dbname")):
        raise ValueError("names no database")
    _check_servers(_servers(url.servers, options), options.get("target_session_attrs", ""))
    return raw


def database_servers(url: str) -> list[tuple[str, str]]:
    """(host, port) of each server that libpq tries, in its order; "" for a port that the address leaves out.

    Raises ValueError when hosts and ports do not pair up.
    """
    parts = _split_database_url(url)
    return _servers(parts.servers, _options(parts.query))


def _servers(written: str, options: Mapping[str, str]) -> list[tuple[str, str]]:
    pairs = [_host_and_port(server) for server in written.split(",")]
    if "port" in options and any(port for _, port in pairs):
        raise ValueError("says the port twice; the one after the ? would win unseen")
    hosts = options.get("host", ",".join(host for host, _ in pairs)).split(",")  # libpq splits what is decoded
    ports = options.get("port", ",".join(port for _, port in pairs)).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise ValueError(f"names {len(hosts)} hosts and {len(ports)} ports")
    return list(zip(hosts, ports, strict=True))


def _check_servers(servers: Sequence[tuple[str, str]], wanted: str) -> None:
    """Each server is named, and the same one whoever asks; of several, every connection wants the primary."""
    if wanted not in ("", "any", *_PRIMARY_ONLY):
        raise ValueError("has a target_session_attrs that a replica meets; one writer needs the primary: read-write")
    for host, port in servers:
        if not host:
            raise ValueError("names no host")
        if port and not (_PORT.fullmatch(port) and 1 <= int(port) <= 65535):
            raise ValueError("cannot be taken apart: is the port a number, and are special characters %-escaped?")
    if len(servers) == 1:
        return
    if wanted not in _PRIMARY_ONLY:
        raise ValueError("names several servers; one writer needs the primary: add target_session_attrs=read-write")
    if len({is_loopback(host) or host.startswith(("/", "@")) for host, _ in servers}) > 1:
        raise ValueError("names this very machine beside other servers; from another machine that is another server")


class _DatabaseUrl(NamedTuple):
    credentials: str
    servers: str
    database: str
    query: str


def _split_database_url(raw: str) -> _DatabaseUrl:
    """As libpq takes it apart, which is not as browsers do: the first @ ends the credentials, a # is a letter."""
    rest = raw.partition("://")[2]
    credentials = ""
    if "@" in rest.partition("/")[0]:
        credentials, _, rest = rest.partition("@")
    place, _, query = rest.partition("?")
    servers, _, database = place.partition("/")
    return _DatabaseUrl(credentials, servers, database.strip("/"), query)


def _options(query: str) -> dict[str, str]:
    """What stands after the ?, as libpq reads it: a + is a plus sign, and an empty value is a value."""
    options: dict[str, str] = {}
    for pair in query.split("&") if query else []:
        name, _, text = pair.partition("=")
        if unquote(name) in options:
            raise ValueError("says one thing after the ? twice; the last would win unseen")
        options[unquote(name)] = unquote(text)
    return options


def _host_and_port(server: str) -> tuple[str, str]:
    if server.startswith("["):  # IPv6
        host, _, after = server[1:].partition("]")
        return host, unquote(after[1:] if after[:1] in (":", "") else "?")
    host, _, port = server.partition(":")
    return unquote(host), unquote(port)


def read_loopback_url(raw: str) -> str:
    """The base address of a venue server on this very machine, without userinfo, query or fragment."""
    _refuse_unprintable(raw)
    if not raw.isascii() or "\\" in raw:
        raise ValueError("holds characters that no loopback address has")
    parts = _split(raw)
    if parts.scheme not in ("http", "https"):
        raise ValueError("does not start with http:// or https://")
    if "@" in parts.netloc:  # http://127.0.0.1@evil.example/ goes to evil.example
        raise ValueError("holds an @: what stands before it is a user name, not the host")
    if parts.query or parts.fragment or "?" in raw or "#" in raw:
        raise ValueError("holds a query or a fragment; a base address has none")
    if not is_loopback(parts.hostname or ""):
        raise ValueError("is not on loopback: only 127.0.0.0/8, ::1 and localhost are accepted")
    return raw


def read_web_url(raw: str) -> str:
    """An http or https address with a host; it may carry a token, so it is a secret."""
    _refuse_unprintable(raw)
    _refuse_template(raw)
    parts = _split(raw)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not an http:// or https:// address with a host")
    return raw


def read_credential(raw: str) -> str:
    """A key or secret as the venue gave it; whatever looks like a stand-in for one is refused."""
    if raw != raw.strip():
        raise ValueError("begins or ends with a blank; it was copied with too much")
    if raw[0] in "'\"`" or raw[-1] in "'\"`":
        raise ValueError("still has quotes around it; the quotes became part of the value")
    if not raw.isascii() or not raw.replace("\n", "").isprintable():  # PEM keys have line ends
        raise ValueError("holds characters that no key has (control, invisible or not ASCII)")
    if looks_like_placeholder(raw):
        raise ValueError("is a placeholder, not a credential")
    if len(raw) < SHORTEST_CREDENTIAL:
        raise ValueError(f"is shorter than {SHORTEST_CREDENTIAL} characters: a stub, or cut off")
    return raw


def looks_like_placeholder(value: str) -> bool:
    """True for `${VAR}`, `changeme`, `your-api-key`, `xxxxxxxx` and their kin; never for a random key."""
    lowered = value.strip(BLANKS).lower()
    letters = re.sub(r"[^a-z0-9]", "", lowered)
    return (
        len(set(letters)) <= 1
        or bool(_TEMPLATE.search(lowered) or _STUB_PHRASE.fullmatch(lowered))
        or bool(_STUB.fullmatch(letters) or _STUB_RUN.fullmatch(letters))
    )


def is_loopback(host: str) -> bool:
    """Literal loopback only: no short forms (127.1), no mapped IPv6, no trailing dot, no look-alike names."""
    if host == "localhost":
        return True
    if not _is_ip(host) or "%" in host:
        return False
    address = ipaddress.ip_address(host)
    return address.is_loopback and (address.version == 4 or address == ipaddress.IPv6Address("::1"))


def secrets_in_url(url: str) -> list[str]:
    """The passwords that a URL carries, as written and as decoded; the whole text when it cannot be taken apart."""
    try:
        parts = urlsplit(url.replace("#", "%23"))
        written = [parts.password or "", *parse_qs(parts.query).get("password", [])]
    except ValueError:
        return [url]
    return [form for text in written if text for form in (text, text.replace("%23", "#"), unquote(text))]


def _split(raw: str) -> SplitResult:
    try:
        parts = urlsplit(raw)
        if parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError("cannot be taken apart: is the port a number, and are special characters %-escaped?") from None
    return parts


def _refuse_unprintable(raw: str) -> None:
    if not raw.isprintable() or " " in raw:
        raise ValueError("holds a blank, a control or an invisible character")


def _refuse_template(raw: str) -> None:
    if _TEMPLATE.search(raw):
        raise ValueError("is a template that nobody filled in")


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _looks_numeric(host: str) -> bool:
    """`127.1` and `0x7f` are addresses to some resolvers and names to others."""
    last = host.rpartition(".")[2]
    return last[:1].isdigit()
