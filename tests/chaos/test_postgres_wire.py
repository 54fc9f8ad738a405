"""Listening to a PostgreSQL session: pieces of any size are understood, and the client gets all that is its own."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.stage.postgres_wire import Conversation, Stage, simple_query

SSL_REQUEST = bytes.fromhex("0000000804d2162f")


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + (len(body) + 4).to_bytes(4, "big") + body


def startup(application_name: str) -> bytes:
    body = b"\0\3\0\0" + b"user\0me\0application_name\0" + application_name.encode() + b"\0\0"
    return (len(body) + 4).to_bytes(4, "big") + body


LOGIN = message("R", b"\0\0\0\0") + message("K", bytes(8)) + message("Z", b"I")
ROW = message("D", b"\0\1\0\0\0\1Z") + message("C", b"SELECT 1\0")


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


def logged_in() -> Conversation:
    talk = Conversation()
    talk.hear_client(startup("prodsafe/main/1"))
    talk.hear_server(LOGIN)
    return talk


CUTS = st.lists(st.integers(0, 500), max_size=40)


@given(CUTS, CUTS)
def test_a_session_is_idle_after_login_and_after_each_answer_however_it_is_cut_to_pieces(up, down):
    talk = Conversation()

    for piece in in_pieces(SSL_REQUEST, up):
        talk.hear_client(piece)
    assert talk.hear_server(b"N") == b"N"
    for piece in in_pieces(startup("prodsafe/main/1"), up):
        talk.hear_client(piece)
    heard = b"".join(talk.hear_server(piece) for piece in in_pieces(LOGIN, down))

    assert (talk.application_name, talk.idle, heard) == ("prodsafe/main/1", True, LOGIN)
    for piece in in_pieces(simple_query("SELECT 1"), up):
        talk.hear_client(piece)
        assert not talk.idle
    for piece in in_pieces(ROW + message("Z", b"I"), down):
        assert not talk.idle
        talk.hear_server(piece)
    assert talk.idle


@given(CUTS)
def test_exactly_our_reply_is_swallowed_and_what_follows_it_is_the_clients(cuts):
    talk, told = logged_in(), []
    ours, theirs = message("S", b"a\0b\0") + ROW + message("Z", b"I"), ROW + message("Z", b"T")

    talk.swallow_reply(told.append)
    talk.hear_client(simple_query("SELECT 2"))  # sent behind our query
    heard = b"".join(talk.hear_server(piece) for piece in in_pieces(ours + theirs, cuts))

    assert (heard, told) == (theirs, [True])
    assert not talk.idle, "their transaction is open"


def test_a_session_is_not_idle_between_the_steps_of_the_extended_protocol():
    talk = logged_in()

    talk.hear_client(message("P", b"\0SELECT 1\0\0\0") + message("H"))
    talk.hear_server(message("1"))
    assert not talk.idle
    talk.hear_client(message("S"))
    talk.hear_client(message("S"))
    talk.hear_server(message("Z", b"I"))
    assert not talk.idle, "a second Sync is unanswered"
    talk.hear_server(message("Z", b"I"))
    assert talk.idle


def test_an_error_in_our_reply_and_the_end_of_the_session_are_told():
    talk, told = logged_in(), []
    talk.swallow_reply(told.append)
    assert talk.hear_server(message("E", b"no\0") + message("Z", b"I")) == b""
    assert talk.idle

    talk.swallow_reply(told.append)
    talk.end()

    assert told == [False, False]


@given(st.binary(max_size=60), CUTS)
def test_what_is_not_postgresql_passes_untouched(data, cuts):
    talk = Conversation()

    talk.hear_client(b"GET / HTTP/1.1\r\n\r\n")

    assert talk.stage is Stage.OPAQUE
    assert b"".join(talk.hear_server(piece) for piece in in_pieces(data, cuts)) == data
    assert not talk.idle
