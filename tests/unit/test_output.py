"""No secret leaves the process in any of the forms it may take; refusals become exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodsafe import output
from prodsafe.errors import DatabaseRefused, ExitCode, GateRefused, Refusal, RefusalKind
from prodsafe.output import mask, refuse, register_secrets, run_entry, say, say_json, warn

KIND = RefusalKind("G99", "an-example", soft=True)
UNREADABLE = RefusalKind("P99", "unreadable", exit_code=ExitCode.UNREADABLE)


@pytest.fixture(autouse=True)
def _no_secrets_left_over(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(output, "_secrets", set())
    yield


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://u:pw@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p@ss@h/d x", "postgresql://u:***@h/d x"),
        ("postgresql://:pw@h/d", "postgresql://:***@h/d"),
        ("http://user:tok%20en@h and http://h:80/a", "http://user:***@h and http://h:80/a"),
        ("host=h password=pw user=u", "host=h password=*** user=u"),
        ("PASSWORD = 'p w\\' x' user=u", "PASSWORD = *** user=u"),
        ("postgresql://h/d?password=pw&sslmode=require", "postgresql://h/d?password=***&sslmode=require"),
        ("sslpassword=pw", "sslpassword=***"),
        ("http://127.0.0.1:8080/x me@example.org", "http://127.0.0.1:8080/x me@example.org"),
        ('{"a": "http://h:80/x", "b": "c@d"}', '{"a": "http://h:80/x", "b": "c@d"}'),
        ('{"a":"http://h:80","b":"c@d"}', '{"a":"http://h:80","b":"c@d"}'),
    ],
)
def test_passwords_in_addresses_are_masked_without_being_registered(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_registered_secrets_are_masked_in_every_usual_form() -> None:
    secret = 'pa"ss\\wörd\n/+='
    register_secrets([secret])

    for form in (secret, json.dumps(secret), repr(secret), "pa%22ss%5Cw%C3%B6rd%0A%2F%2B%3D"):
        assert "rd" not in mask(f"<{form}>")


def test_longer_secrets_are_masked_before_those_they_contain() -> None:
    register_secrets(["abcd", "abcdefgh"])

    assert mask("abcdefgh abcd") == "*** ***"


def test_blank_and_very_short_values_do_not_blot_out_everything() -> None:
    register_secrets(["", "  ", "1", "no", "abc"])

    assert mask("no 1 abc") == "no 1 abc"


@given(st.text('ab0-\\"é', min_size=4, max_size=12), st.text("ab0- ", max_size=12))
def test_a_registered_secret_is_never_in_what_is_printed(secret: str, around: str) -> None:
    output._secrets.clear()
    register_secrets([secret])

    assert secret not in mask(around + secret + around)
    assert json.dumps(secret)[1:-1] not in mask(json.dumps(around + secret))


@pytest.mark.parametrize("secret", ["refused", '": "', "true", "\\", "seen", "null"])
def test_json_stays_json_whatever_a_secret_looks_like(secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    register_secrets([secret * 4, secret])
    value = {"seen": [secret * 4, ("x", 1, None, True)], "other": Exception(secret * 4)}

    say_json(value)

    line = capsys.readouterr().out
    assert json.loads(line)
    assert secret * 4 not in line


def test_refusals_are_text_on_stderr_and_data_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    refusal = KIND.because("it is wrong", mend="mend it", seen="password=pw")

    refuse([refusal], as_json=True)

    printed = capsys.readouterr()
    assert printed.err == "refused G99 an-example\n  seen:  password=***\n  cause: it is wrong\n  mend:  mend it\n"
    assert json.loads(printed.out) == {
        "ok": False,
        "refusals": [
            {
                "id": "G99",
                "name": "an-example",
                "soft": True,
                "seen": "password=***",
                "cause": "it is wrong",
                "mend": "mend it",
            }
        ],
    }


def test_a_warning_is_not_called_a_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    warn([KIND.because("it is odd", mend="look")])

    assert capsys.readouterr().err.startswith("warning G99 an-example\n  cause:")


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (GateRefused(KIND.because("a", mend="b")), 1),
        (DatabaseRefused(UNREADABLE.because("a", mend="b")), 6),
        (KeyboardInterrupt(), 0),
        (ZeroDivisionError("password=pw"), 70),
    ],
)
def test_what_an_entry_point_raises_becomes_its_exit_code(
    raised: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> int:
        raise raised

    assert run_entry(body) == code
    assert "password=pw" not in capsys.readouterr().err


def test_a_command_of_one_thing_is_no_success_when_it_was_interrupted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`prodsafe lock release ... && start` must not go on after Ctrl-C."""

    def body() -> int:
        raise KeyboardInterrupt

    assert run_entry(body, interrupted=ExitCode.REFUSED) == 1
    assert "stopped by a signal" in capsys.readouterr().err


def test_a_refusal_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="without a reason"):
        GateRefused()


def test_a_reader_that_went_away_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    class Gone:
        """A stream whose reader left, over a real file descriptor."""

        def __init__(self) -> None:
            self.file = (tmp_path_factory.mktemp("out") / "out").open("w")
            self.failed = 0

        def write(self, text: str) -> int:
            self.failed += 1
            raise BrokenPipeError

        def flush(self) -> None: ...

        def fileno(self) -> int:
            return self.file.fileno()

    gone = Gone()
    monkeypatch.setattr("sys.stdout", gone)

    say("anything")

    assert gone.failed == 1
    gone.file.close()


def test_a_refusal_can_be_compared_and_has_its_id() -> None:
    refusal = Refusal(KIND, "a", "b")

    assert refusal == KIND.because("a", mend="b")
    assert refusal.id == "G99"
