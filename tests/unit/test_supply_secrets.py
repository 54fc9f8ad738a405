"""Secrets are found wherever a commit put them, and never shown (I62). Those here are made when the tests run."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256, sha512
from pathlib import Path

import pytest

from supply.findings import Finding
from supply.secrets import check_secrets
from tests.supplied import commit, git, repository

DIGEST = sha512(b"a seed that no venue knows").digest()
KRAKEN_SECRET = b64encode(DIGEST).decode()
KRAKEN_KEY = b64encode(DIGEST[:42]).decode()
LETTERS = KRAKEN_SECRET.replace("+", "x").replace("/", "y")
PLANTED = {
    "a-kraken-secret.md": (KRAKEN_SECRET, f"the live key's secret is {KRAKEN_SECRET} for now\n"),
    "a-kraken-key.md": (KRAKEN_KEY, f"key: {KRAKEN_KEY}\n"),
    "a-binance-key.txt": (LETTERS[:64], f"BINANCE {LETTERS[:64]}\n"),
    "base64.py": (KRAKEN_SECRET[:36], f'TOKEN = "{KRAKEN_SECRET[:36]}"\n'),
    "hex.py": (DIGEST.hex()[:64], f'SEED = "{DIGEST.hex()[:64]}"\n'),
    "aws.cfg": ("AKIA" + "Z7QXR2M4N8P3L6T9", f"id = {'AKIA' + 'Z7QXR2M4N8P3L6T9'}\n"),
    "server.pem": (LETTERS[:30], f"-----BEGIN {'RSA'} PRIVATE KEY-----\n{LETTERS[:30]}\n"),
    "database.yaml": ("hunter-two-2", f"url: postgresql://worker:{'hunter-two-2'}@db.prod.internal:5432/trading\n"),
    "keyword.py": ("hunter-two-2", f'database_password = "{"hunter-two-2"}"\n'),
    "discord.md": (LETTERS[:30], f"https://discord.com/api/webhooks/{10**17}/{LETTERS[:30]}-{LETTERS[30:60]}\n"),
    "slack.md": (LETTERS[:24], f"https://hooks.slack.com/services/T{'0123ABCDE'}/B{'0123ABCDE'}/{LETTERS[:24]}\n"),
    "telegram.md": (LETTERS[:35], f"https://api.telegram.org/bot{123456789}:{LETTERS[:35]}/sendMessage\n"),
    "github.sh": ("ghp_" + LETTERS[:36], f"export T={'ghp_' + LETTERS[:36]}\n"),
}
HARMLESS = {
    "lock.lock": f"click==8.1.0 \\\n    --hash=sha256:{sha256(b'a file').hexdigest()}\n",
    "manual.md": "set DATABASE_URL=postgresql://USER:PASSWORD@HOST:5432/DATABASE\n",
    "loopback.md": "`postgresql://me:s3cret-word@127.0.0.1:5432/app`\n",
    "prose.md": "a/long/path/of/many/Folders/with/Numbers/1/2/3 and TheNameOfAClassThatIsLongerThanAnyOther4Ever\n",
    "tests/test_it.py": 'api_secret = "a-word-of-a-test"\n',
}
NOTHING = "audited = []\n"


@pytest.fixture(scope="module")
def nothing_audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audited") / "audited.toml"
    path.write_text(NOTHING)
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, nothing_audited: Path) -> list[Finding]:
    planted = {name: text for name, (_, text) in PLANTED.items()}
    return check_secrets(repository(tmp_path_factory.mktemp("planted"), {**planted, **HARMLESS}), nothing_audited)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_secret_is_found_where_it_lies_and_never_shown(found: list[Finding], name: str) -> None:
    secret = PLANTED[name][0]

    assert [finding for finding in found if finding.place.startswith(f"{name}:")]
    assert not [finding for finding in found if secret in finding.as_text()]


@pytest.mark.parametrize("name", HARMLESS)
def test_hashes_placeholders_and_prose_are_no_secrets(found: list[Finding], name: str) -> None:
    assert not [finding for finding in found if finding.place.startswith(name)]


def test_a_secret_that_was_taken_out_is_found_in_the_history(tmp_path: Path, nothing_audited: Path) -> None:
    project = repository(tmp_path, {"notes.md": f"one\n{KRAKEN_SECRET}\n", "gone.md": f"{KRAKEN_KEY}\n"})
    commit(project, {"notes.md": "one\n", "gone.md": None})

    found = check_secrets(project, nothing_audited)

    assert [finding.place.partition(" (")[0].partition(",")[0] for finding in found] == [
        "gone.md in history",
        "notes.md in history",
    ]
    assert all("--find-object=" in finding.place for finding in found), "the commits that held it can be asked for"


def test_a_secret_on_another_branch_or_in_a_message_is_found(tmp_path: Path, nothing_audited: Path) -> None:
    project = repository(tmp_path, {"a.md": "one\n"})
    git(project, "checkout", "--quiet", "-b", "other")
    commit(project, {"b.md": f"{KRAKEN_KEY}\n"})
    git(project, "checkout", "--quiet", "-")
    commit(project, {}, message=f"the key is {KRAKEN_SECRET}")

    places = [finding.place for finding in check_secrets(project, nothing_audited)]

    assert [place.partition(" in history")[0] for place in places] == ["b.md", "commit messages"]
    assert git(project, "show", places[1].rpartition(" ")[2]), "the commit can be asked for"


def test_what_was_judged_harmless_is_harmless_in_its_own_file_only(tmp_path: Path, nothing_audited: Path) -> None:
    project = repository(tmp_path / "project", {"a.md": f"{KRAKEN_KEY}\n", "b.md": f"{KRAKEN_KEY}\n"})
    sha1 = check_secrets(project, nothing_audited)[0].mend.rpartition('sha1 = "')[2].partition('"')[0]
    audited = tmp_path / "audited.toml"
    audited.write_text(f'[[audited]]\nfile = "a.md"\nsha1 = "{sha1}"\nwhy = "a test"\n')

    assert [finding.place for finding in check_secrets(project, audited)] == ["b.md:1"]
