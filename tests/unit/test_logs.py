"""One event is one line, and no secret is in it."""

from __future__ import annotations

import io
import json
import logging

from live import logs
from prodsafe.output import register_secrets


def test_a_line_is_one_json_object_with_time_level_and_what_was_bound() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)

    logs.get_logger("tick", epoch=41).info("tick", action="no action: flat")

    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["epoch"], line["action"]) == ("tick", "info", 41, "no action: flat")
    assert line["timestamp"].endswith("Z")


def test_secrets_and_line_breaks_do_not_get_through_in_either_format() -> None:
    register_secrets(["s3cr3t-key-value"])
    for as_json in (True, False):
        stream = io.StringIO()
        logs.configure(stream=stream, as_json=as_json)

        logs.get_logger().warning("refused\nforged line", key="s3cr3t-key-value", url="postgresql://a:b3tter@h/d")

        text = stream.getvalue()
        assert text.count("\n") == 1
        assert "s3cr3t" not in text and "b3tter" not in text


def test_libraries_speak_in_the_same_format_and_only_when_something_is_wrong() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream, as_json=True)

    logging.getLogger("aiohttp").info("chatter")
    logging.getLogger("aiohttp").error("broken %s", "pipe")

    assert json.loads(stream.getvalue())["event"] == "broken pipe"


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream, as_json=False)

    try:
        raise RuntimeError("out of order")
    except RuntimeError:
        logs.get_logger().exception("bug")

    assert stream.getvalue().count("\n") == 1
    assert "RuntimeError: out of order" in stream.getvalue()
