"""The one strict reading of the environment: look-alikes fail closed, nothing is guessed, nothing raises."""

from __future__ import annotations

import math

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError

from prodsafe.environment import (
    NAMES,
    VARIABLES,
    Environment,
    describe_variables,
    read_environment,
)
from prodsafe.values import database_servers, read_scope

BOOLEANS = ["DRY_RUN", "USE_STATE_MACHINE_V2", "RUN_REAL_EXCHANGE_TESTS", "WITH_HEALTH", "EXCHANGE_SANDBOX"]


def read(**values: str) -> Environment:
    return read_environment(values)


def ids(env: Environment) -> list[str]:
    return [problem.id for problem in env.problems]


def test_empty_environment_has_the_documented_defaults_and_no_problem() -> None:
    env = read()

    assert env.problems == ()
    assert (env.environment, env.dry_run, env.use_state_machine_v2, env.confirm_live) == (None, None, None, False)
    assert (env.run_real_exchange_tests, env.with_health, env.port, env.exchange_sandbox) == (False, False, 8080, False)
    assert (env.exchange_id, env.lock_wait_seconds, env.exchange_url) == ("krakenfutures", 0.0, None)


def test_every_variable_of_the_specification_is_read_into_a_field_of_its_name() -> None:
    assert {variable.field for variable in VARIABLES} <= set(Environment.model_fields)
    assert len(NAMES) == len(VARIABLES) == 19


@pytest.mark.parametrize("raw", ["1", "true", "yes", "on", "TRUE", "Yes", "oN", " true", "true ", "\ton\n", "1\r\n"])
@pytest.mark.parametrize("name", BOOLEANS)
def test_true_words_in_any_case_and_with_blanks_are_true_for_every_reader(name: str, raw: str) -> None:
    """W16: the guard stripped " true" and the engine did not."""
    env = read(**{name: raw})

    assert getattr(env, name.lower()) is True
    assert env.problems == ()


@pytest.mark.parametrize("raw", ["0", "false", "no", "off", "FALSE", "No", "oFf", " 0 "])
@pytest.mark.parametrize("name", BOOLEANS)
def test_false_words_are_false(name: str, raw: str) -> None:
    env = read(**{name: raw})

    assert getattr(env, name.lower()) is False
    assert env.problems == ()


@pytest.mark.parametrize(
    "raw",
    [
        "ture",
        "enabled",
        "y",
        "n",
        "t",
        "2",
        "-1",
        "01",
        "0.0",
        "1 1",
        "truefalse",
        "null",
        "None",
        "'true'",
        '"1"',
        "１",
        "trúe",
        "оn",  # the first letter is Cyrillic
        "tru\u0435",
        "true\x00",
        "\x00",
        "\u200btrue",
        "\u00a0true",
        "true;",
        "${DRY_RUN}",
    ],
)
@pytest.mark.parametrize("name", BOOLEANS)
def test_anything_else_is_no_boolean_and_the_value_is_shown(name: str, raw: str) -> None:
    """W15: "ture" and "enabled" meant live."""
    env = read(**{name: raw})

    assert getattr(env, name.lower()) in (None, False)
    assert name in env.malformed
    assert env.problems[0].seen == f"{name}={raw!a}"


@given(st.text(max_size=8))
def test_a_boolean_is_one_of_eight_words_or_a_problem(raw: str) -> None:
    env = read(DRY_RUN=raw)
    word = raw.strip(" \t\r\n")

    if not word:
        assert env.dry_run is None and not env.problems
    elif env.problems:
        assert env.dry_run is None
    else:
        assert word.isascii() and word.lower() in {"1", "true", "yes", "on", "0", "false", "no", "off"}
        assert env.dry_run is (word.lower() in {"1", "true", "yes", "on"})


@given(st.dictionaries(st.sampled_from(sorted(NAMES)), st.text(max_size=40), max_size=8))
def test_reading_never_raises_and_reports_each_malformed_variable_once(source: dict[str, str]) -> None:
    env = read_environment(source)

    assert env.malformed <= set(source)
    assert len(env.problems) == len(env.malformed)
    assert all(raw in env.secrets() or not raw.strip() for raw in [source.get("EXCHANGE_API_SECRET", "")])


@pytest.mark.parametrize("word", ["prod", "staging", "dev", "test"])
def test_the_four_words_are_environments_and_only_prod_is_production(word: str) -> None:
    env = read(ENVIRONMENT=word)

    assert env.environment == word
    assert env.is_production is (word == "prod")


LOOK_ALIKES = [
    "production",
    "Production",
    "PROD",
    "Prod",
    "PROD ",
    "prod ",
    " prod",
    "prod\n",
    "prd",
    "live",
    "local",
    "paper",
    "Dev",
    "DEV",
    "dev ",
    " test",
    "development",
    "testing",
    "stage",
    "dеv",  # Cyrillic
    "dev\x00",
    "'dev'",
    "\u202edev",
]


@pytest.mark.parametrize("word", LOOK_ALIKES)
def test_look_alike_environments_count_as_production_and_are_no_environment(word: str) -> None:
    """W15: ENVIRONMENT="production" meant "not prod", so no guard ran."""
    env = read(ENVIRONMENT=word)

    assert env.environment is None
    assert env.is_production
    assert ids(env) == ["G01"]


@pytest.mark.parametrize("word", ["", " ", "\t\n"])
def test_unset_or_blank_environment_counts_as_production(word: str) -> None:
    """W5: unset was production for one reader and local for the next."""
    env = read(ENVIRONMENT=word)

    assert env.is_production
    assert env.problems == ()


@given(st.text(max_size=12))
def test_only_three_words_are_ever_not_production(word: str) -> None:
    assert read(ENVIRONMENT=word).is_production is (word not in {"staging", "dev", "test"})


@pytest.mark.parametrize("raw", ["yes", "Yes", "YES ", " YES", "Y", "1", "true", "YES!", "ΥES", "'YES'", "YES\n"])
def test_confirmation_is_exactly_three_letters(raw: str) -> None:
    env = read(CONFIRM_LIVE=raw)

    assert env.confirm_live is False
    assert ids(env) == ["G04"]


@pytest.mark.parametrize(("raw", "port"), [("1", 1), ("8080", 8080), ("65535", 65535), (" 80 ", 80)])
def test_ports_in_range_are_read(raw: str, port: int) -> None:
    assert read(PORT=raw).port == port


@pytest.mark.parametrize(
    "raw", ["0", "65536", "-1", "+80", "8_0", "80.0", "1e3", "http", "８０", "99999999999", "0x50"]
)
def test_other_ports_are_a_problem_and_read_as_the_default(raw: str) -> None:
    env = read(PORT=raw)

    assert env.port == 8080
    assert ids(env) == ["G15"]


@pytest.mark.parametrize(("raw", "seconds"), [("0", 0.0), ("30", 30.0), ("2.5", 2.5), (" 7 ", 7.0), ("0.0", 0.0)])
def test_seconds_are_plain_decimals(raw: str, seconds: float) -> None:
    assert read(LOCK_WAIT_SECONDS=raw).lock_wait_seconds == seconds


@pytest.mark.parametrize(
    "raw", ["-1", "-0.1", "nan", "inf", "Infinity", "1e9", "1e400", "1_0", "3s", "٣", ".", "5.", "9" * 400]
)
def test_other_seconds_are_a_problem(raw: str) -> None:
    env = read(LOCK_WAIT_SECONDS=raw)

    assert env.lock_wait_seconds == 0.0
    assert ids(env) == ["G15"]


@given(st.text(max_size=12))
def test_seconds_are_never_negative_and_always_finite(raw: str) -> None:
    seconds = read(LOCK_WAIT_SECONDS=raw).lock_wait_seconds

    assert seconds >= 0 and math.isfinite(seconds)


@pytest.mark.parametrize(
    "scope", ["bot-7", "account/krakenfutures/main/prod", "Überweisung 2", "b" * 200, "a:b_c.d%20"]
)
def test_a_scope_is_any_visible_name(scope: str) -> None:
    assert read_scope(scope) == scope


@pytest.mark.parametrize(
    ("scope", "why"),
    [
        ("", "empty"),
        (" \t", "empty"),
        ("b" * 201, "longer than 200"),
        (" bot", "blank"),
        ("bot ", "blank"),
        ("bot\n", "blank"),
        ("bo\nt", "control"),
        ("bo\x1b[2Jt", "control"),
        ("bo\u200bt", "invisible"),
        ("bo\u00a0t", "invisible"),
        ("bo\udcfft", "control"),
        ("u\u0308ber", "accent"),
    ],
)
def test_a_scope_that_could_be_mistaken_for_another_is_refused(scope: str, why: str) -> None:
    """Two spellings of one name are two leases, and two leases are two writers."""
    with pytest.raises(ValueError, match=why):
        read_scope(scope)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:secret@db.example/trading",
        "postgresql://user@127.0.0.1:5433/trading?sslmode=require",
        "postgresql://localhost/trading",
        "postgresql://[::1]:5432/trading",
        "postgresql:///trading?host=/var/run/postgresql",
        "postgresql://u:p%40ss%2Fword@h/d",
        "postgresql://u:p#ss@h/d",
        "postgresql://h/d?passfile=/run/pgpass&application_name=a+b",
        "postgresql://h/d?target_session_attrs=read-write",
        "postgresql://a,b:5433,c/d?target_session_attrs=read-write",
        "postgresql://u:p@a:1,b:2/d?target_session_attrs=primary",
        "postgresql:///d?host=a,b&port=5432&target_session_attrs=read-write",
        "postgresql://[fd00::1]:5432,[fd00::2]:5432/d?target_session_attrs=read-write",
        "postgresql://127.0.0.1:1,127.0.0.1:2/d?target_session_attrs=read-write",
    ],
)
def test_postgres_addresses_with_host_and_database_are_read(url: str) -> None:
    env = read(DATABASE_URL=url)

    assert env.database_url == url
    assert env.problems == ()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://h/d",
        "postgresql+psycopg2://h/d",
        "POSTGRES://h/d",
        "postgres:/h/d",
        "postgresql://",
        "postgresql://h",
        "postgresql://h/",
        "postgresql:///d",
        "postgresql://h:port/d",
        "postgresql://h:99999/d",
        "postgresql://h:0/d",
        "postgresql://u:pa/ss@h/d",
        "postgresql://u:p[ss@h/d",
        "postgresql://a,b/d",
        "postgresql://a:1,b:2/d",
        "postgresql://u:p@ss@h/d",  # to libpq the host is "ss@h"
        "postgresql://u:1?dbname=d&x@h/d",
        "postgresql://${DB_HOST}/d",
        "${DATABASE_URL}",
        " postgresql://h/d",
        "postgresql://h/d\n",
        "postgresql://h/d e",
        "postgresql://h\x00/d",
        "host=h dbname=d",
        "sqlite:///d",
    ],
)
@pytest.mark.parametrize("name", ["DATABASE_URL", "LOCK_DATABASE_URL"])
def test_other_database_addresses_are_refused_without_showing_them(name: str, url: str) -> None:
    env = read(**{name: url})

    assert getattr(env, name.lower()) is None
    assert ids(env) == ["G06"]
    assert url not in (env.problems[0].seen or "") + env.problems[0].cause
    assert url in env.secrets()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://db/d?hostaddr=10.0.0.9", "hostaddr"),
        ("postgresql:///d?hostaddr=10.0.0.9", "hostaddr"),
        ("postgresql://db/d?service=other", "service"),
        ("postgresql://db/d?options=-csession_replication_role%3Dreplica", "options"),
        ("postgresql://db/d?%6Fptions=-csearch_path%3Devil", "options"),
        ("postgresql://db/d?host=elsewhere", "host twice"),
        ("postgresql://db/d?dbname=other", "dbname twice"),
        ("postgresql://db:5432/d?port=6432", "port twice"),
        ("postgresql:///d?host=a&host=b", "twice"),
        ("postgresql://db/d?target_session_attrs=standby", "needs the primary: read-write"),
        ("postgresql://db/d?target_session_attrs=read-only", "needs the primary: read-write"),
        ("postgresql://db/d?target_session_attrs=prefer-standby", "needs the primary: read-write"),
        ("postgresql://a,b/d", "target_session_attrs=read-write"),
        ("postgresql://a%2Cb/d", "target_session_attrs=read-write"),
        ("postgresql:///d?host=a,b", "target_session_attrs=read-write"),
        ("postgresql://a,b/d?target_session_attrs=any", "target_session_attrs=read-write"),
        ("postgresql://a,/d?target_session_attrs=read-write", "names no host"),
        ("postgresql:///d?host=&target_session_attrs=read-write", "names no host"),
        ("postgresql://a,b:0/d?target_session_attrs=read-write", "is the port a number"),
        ("postgresql://a,b,c/d?port=1,2&target_session_attrs=read-write", "3 hosts and 2 ports"),
        ("postgresql://localhost,db/d?target_session_attrs=read-write", "this very machine"),
        ("postgresql:///d?host=/run/postgresql,db&target_session_attrs=read-write", "this very machine"),
    ],
)
def test_an_address_that_leads_elsewhere_than_it_says_is_refused(url: str, why: str) -> None:
    """Two workers whose addresses look alike must not end on two servers, nor on a session without its fence."""
    env = read(DATABASE_URL=url)

    assert ids(env) == ["G06"]
    assert why in env.problems[0].cause


_PIECES = st.sampled_from(
    ["u", ":", "p", "@", "/", "?", "&", "=", ",", "#", "[", "]", "::1", "h", "g", "d", "5432", "1", "%2C", "%40", "%3A",
     "host=", "hostaddr=", "port=", "dbname=", "service=", "options=", "%68ost=", "passfile=x", "target_session_attrs=",
     "read-write", "primary", "standby", "any", "localhost", "127.0.0.1"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=14).map(lambda pieces: "postgresql://" + "".join(pieces)))
@example("postgresql://u:p@h:5432,g/d?target_session_attrs=read-write")
@example("postgresql://[u/]")
@example("postgresql://u:p@h%2Cg/d?target_session_attrs=read-write&port=5432,1")
def test_what_is_read_from_an_address_is_what_libpq_reads(url: str) -> None:
    """Differential: an address that we accept, libpq accepts or refuses, and never takes to another place."""
    if read(DATABASE_URL=url).database_url is None:
        return
    try:
        theirs = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return
    servers = database_servers(url)

    assert not {"hostaddr", "service", "options"} & set(theirs)
    assert theirs["dbname"]
    assert str(theirs["host"]).split(",") == [host for host, _ in servers]
    ports = str(theirs.get("port") or "").split(",")
    assert (ports * len(servers) if len(ports) == 1 else ports) == [port for _, port in servers]
    assert len(servers) == 1 or theirs["target_session_attrs"] in ("read-write", "primary")


def test_lock_address_falls_back_to_the_database_address() -> None:
    assert read(DATABASE_URL="postgresql://h/d").lock_database_url == "postgresql://h/d"
    assert (
        read(DATABASE_URL="postgresql://h/d", LOCK_DATABASE_URL="postgresql://i/d").lock_database_url
        == "postgresql://i/d"
    )


def test_malformed_lock_address_does_not_fall_back() -> None:
    assert read(DATABASE_URL="postgresql://h/d", LOCK_DATABASE_URL="pgbouncer").lock_database_url is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8123",
        "http://127.0.0.1",
        "https://localhost:9/",
        "http://127.255.255.254:80/derivatives",
        "http://[::1]:8080",
        "HTTP://LOCALHOST:80",
    ],
)
def test_loopback_venue_addresses_are_read(url: str) -> None:
    env = read(EXCHANGE_URL=url)

    assert env.exchange_url == url
    assert env.problems == ()


@pytest.mark.parametrize(
    "url",
    [
        "https://futures.kraken.com",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:80@evil.example/",
        "http://user:pass@127.0.0.1/",
        "http://localhost.evil.example/",
        "http://localhost./",
        "http://notlocalhost/",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1\\@evil.example/",
        "http://evil.example#@127.0.0.1/",
        "http://evil.example/?127.0.0.1",
        "http://127.0.0.1?x=1",
        "http://127.1/",
        "http://0x7f.0.0.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::1%25lo]/",
        "http://１２７.0.0.1/",
        "http://ⓛocalhost/",
        "http://128.0.0.1/",
        "http://126.255.255.255/",
        "http://10.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:port/",
        "ftp://127.0.0.1/",
        "127.0.0.1:8080",
        "//127.0.0.1",
        "http:/127.0.0.1",
        "http://",
        "http:// 127.0.0.1",
        "http://127.0.0.1\n",
        "http://127.0.0.1\t.evil.example",
        "http://[::1",
        "file:///etc/passwd",
    ],
)
def test_every_other_venue_address_is_refused(url: str) -> None:
    env = read(EXCHANGE_URL=url)

    assert env.exchange_url is None
    assert ids(env) == ["G09"]


@given(st.sampled_from(["http://", "https://", ""]), st.text(max_size=30))
def test_a_venue_address_that_is_accepted_is_literally_loopback(scheme: str, rest: str) -> None:
    url = read(EXCHANGE_URL=scheme + rest).exchange_url

    if url is not None:
        host = url.split("//", 1)[1].split("/", 1)[0].lower()
        assert host.startswith(("127.", "localhost", "[::1]")) and "@" not in url


@pytest.mark.parametrize("name", ["main", "Main-1", "a", "kraken_futures.eu", "0x"])
def test_plain_account_names_are_read(name: str) -> None:
    assert read(EXCHANGE_ACCOUNT=name).exchange_account == name


@pytest.mark.parametrize(
    "name",
    [
        "ma in",
        "main ",
        " main",
        "mаin",
        "main\u200b",
        "-main",
        ".main",
        "a/b",
        "${ACCOUNT}",
        "a" * 64,
        "main\n",
        "'main'",
    ],
)
def test_account_names_with_two_spellings_are_refused(name: str) -> None:
    """The lease is taken on the name: a look-alike letter would be a second lease on one account."""
    env = read(EXCHANGE_ACCOUNT=name)

    assert env.exchange_account is None
    assert ids(env) == ["G07"]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost", "worker-1.internal"])
def test_addresses_to_listen_on_are_read(host: str) -> None:
    assert read(HEALTH_HOST=host).health_host == host


@pytest.mark.parametrize(
    "host", ["127.1", "256.0.0.1", "a b", "http://x", "x:80", "-x", "x..y", "ⓛocalhost", "*", "0x7f"]
)
def test_other_addresses_to_listen_on_are_refused(host: str) -> None:
    assert ids(read(HEALTH_HOST=host)) == ["G15"]


def test_health_listens_everywhere_only_where_the_environment_says_prod() -> None:
    assert read(ENVIRONMENT="prod").health_host == "0.0.0.0"
    assert {read(ENVIRONMENT=word).health_host for word in ("dev", "", "PROD")} == {"127.0.0.1"}


@pytest.mark.parametrize("word", ["Kraken", "kraken futures", "krаken", "k", "1kraken", "kraken;", "../kraken"])
def test_exchange_ids_are_lower_case_words(word: str) -> None:
    env = read(EXCHANGE_ID=word)

    assert ids(env) == ["G15"]
    assert env.exchange_id == "krakenfutures"


@pytest.mark.parametrize("url", ["https://hooks.example/T/x", "http://alerts.internal:9000/hook"])
def test_webhooks_are_read(url: str) -> None:
    assert read(ALERT_WEBHOOK_URL=url).alert_webhook_url == url


@pytest.mark.parametrize(
    "url", ["hooks.example/x", "ftp://x/y", "https://", "https:///x", "https://x y", "${HOOK}", "https://h:x/"]
)
def test_other_webhooks_are_refused_without_showing_them(url: str) -> None:
    env = read(ALERT_WEBHOOK_URL=url)

    assert ids(env) == ["G15"]
    assert env.problems[0].seen == f"ALERT_WEBHOOK_URL=({len(url)} characters, not shown)"


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("CONFRIM_LIVE", "CONFIRM_LIVE"),
        ("CONFIRMLIVE", "CONFIRM_LIVE"),
        ("confirm_live", "CONFIRM_LIVE"),
        ("Confirm-Live", "CONFIRM_LIVE"),
        ("CONFIRM_LIVE ", "CONFIRM_LIVE"),
        ("СONFIRM_LIVE", "CONFIRM_LIVE"),  # Cyrillic first letter
        ("DRYRUN", "DRY_RUN"),
        ("DRY_RUNN", "DRY_RUN"),
        ("DYR_RUN", "DRY_RUN"),
        ("ENVIROMENT", "ENVIRONMENT"),
        ("ENVIRNOMENT", "ENVIRONMENT"),
        ("EXCHANGE_SANBOX", "EXCHANGE_SANDBOX"),
        ("EXCHANGE_APIKEY", "EXCHANGE_API_KEY"),
        ("LOCK_WAIT_SECOND", "LOCK_WAIT_SECONDS"),
        ("LOCK_WAITS_SECOND", "LOCK_WAIT_SECONDS"),
        ("WITHHEALTH", "WITH_HEALTH"),
        ("port", "PORT"),
        ("USE_STATE_MACHINE_V3", "USE_STATE_MACHINE_V2"),
    ],
)
def test_near_misses_of_a_known_name_are_refused(misspelt: str, meant: str) -> None:
    env = read(**{misspelt: "YES"})

    assert ids(env) == ["G13"]
    assert meant in env.problems[0].cause


@pytest.mark.parametrize(
    "name",
    [
        *sorted(NAMES),
        "PATH",
        "HOME",
        "SORT",
        "POST",
        "HOST",
        "TEST_DATABASE_URL",
        "ENV",
        "LIVE_SYMBOLS",
        "RISK_PER_TRADE_PCT",
        "PGPORT",
        "PYTHON_DOTENV_DISABLED",
        "HEALTH",
        "",
    ],
)
def test_known_and_unrelated_names_are_no_near_miss(name: str) -> None:
    assert "G13" not in ids(read(**{name: "1"}))


def test_settings_are_passed_on_as_they_stand() -> None:
    env = read(LIVE_SYMBOLS=" A,B ", RISK_PER_TRADE_PCT="", OTHER="x")

    assert env.settings == {"LIVE_SYMBOLS": " A,B ", "RISK_PER_TRADE_PCT": ""}
    assert {"LIVE_SYMBOLS", "OTHER"} <= env.names


def test_secrets_are_listed_and_never_represented() -> None:
    env = read(
        DATABASE_URL="postgresql://u:p%40ssw%23rd@h/d",
        EXCHANGE_API_KEY="key-9d7f2c1a",
        EXCHANGE_API_SECRET="s3cr3t-4b8e6d",
        ALERT_WEBHOOK_URL="https://hooks.example/T0/zzz",
    )

    assert {"p%40ssw%23rd", "p@ssw#rd", "key-9d7f2c1a", "s3cr3t-4b8e6d", "https://hooks.example/T0/zzz"} <= set(
        env.secrets()
    )
    assert not any(secret in repr(env) for secret in env.secrets())


def test_environment_is_frozen_and_strict() -> None:
    env = read(ENVIRONMENT="dev")

    with pytest.raises(ValidationError):
        env.environment = "prod"
    with pytest.raises(ValidationError):
        Environment(port="8080")


def test_nothing_but_the_given_mapping_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("program")
    (folder / ".env").write_text("CONFIRM_LIVE=YES\nPORT=1\nDRY_RUN=0\n")
    monkeypatch.chdir(folder)
    for name in ("ENVIRONMENT", "environment", "PORT", "port", "DRY_RUN", "DATABASE_URL"):
        monkeypatch.setenv(name, "prod")

    assert read() == read_environment({})
    assert read().environment is None and read().port == 8080 and not read().confirm_live


def test_help_names_every_variable() -> None:
    assert all(variable.name in describe_variables() for variable in VARIABLES)
