"""A document or a deploy file that names what is gone is found (I62: the app spec named a deleted script)."""

from __future__ import annotations

from pathlib import Path

import pytest

from supply.references import check_references
from tests.processes import PROJECT
from tests.supplied import commit, repository

FILES = {
    "Makefile": "test: venv\n\techo $(N)\nvenv:\n\techo\n",
    "bench/lease.py": "",
    "jobs/rebalance.py": "JOB_SECONDS = 'JOB_SECONDS'\n",
    "live/__init__.py": "",
    "live/prod_live.py": "def start(): ...\n",
    "migrate_schema.py": "import sys\nprint('--plan' if sys.argv[1:] == ['--help'] else '')\n",
    "docs/page.md": "# A page, and more\n\n## `code` in it\n\n```sh\n# no heading\n```\n",
}


def causes(project: Path) -> list[str]:
    """What was found, less the variables that so small a repository does not document."""
    return [f"{finding.place} {finding.cause}" for finding in check_references(project) if finding.place != "docs"]


def test_a_spec_that_names_a_deleted_script_is_found(tmp_path: Path) -> None:
    spec = "workers:\n  - run_command: python jobs/rebalance.py && python -m live.prod_live\n"
    project = repository(tmp_path, {**FILES, "deploy/app.yaml": spec})
    assert causes(project) == []

    commit(project, {"jobs/rebalance.py": None})

    assert causes(project) == [
        "deploy/app.yaml:2 there is no file jobs/rebalance.py",
        "deploy/app.yaml:2 there is no program jobs/rebalance.py",
    ]


@pytest.mark.parametrize(
    "code",
    [
        "make test N=3",
        "make bench-lease",
        "python -m live.prod_live",
        "python migrate_schema.py --plan && python -m live status --watch 5",
        "prodsafe run --scope NAME -- python bill.py --its-own",
        "prodsafe lock release --force",
        "CONFIRM_LIVE=YES RISK_PER_TRADE_PCT=1 python -m live.prod_live",
        "JOB_SECONDS",
        "live.prod_live.start",
        "page.md",
        "GRANT SELECT TO READER_ROLE",
    ],
)
def test_what_is_there_may_be_named(tmp_path: Path, code: str) -> None:
    project = repository(tmp_path, {**FILES, "README.md": f"one\n`{code}`\n\n```sh\n{code}\n```\n"})

    assert causes(project) == []


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("make chaos", "there is no target `make chaos`"),
        ("make test SEED=3", "the Makefile does not read SEED"),
        ("make bench-gone", "there is no target `make bench-gone`"),
        ("python -m live.gone", "there is no module live.gone"),
        ("python -m no_such_module_anywhere", "there is no module no_such_module_anywhere"),
        ("python gone.py", "there is no program gone.py"),
        ('command: ["/bin/sh", "-c", "exec python -m live.gone"]', "there is no module live.gone"),
        ('CMD ["python", "-m", "live.gone"]', "there is no module live.gone"),
        (
            "ExecStart=/bin/sh -c 'python gone.py && exec .venv/bin/python -m live.prod_live'",
            "there is no program gone.py",
        ),
        ("python migrate_schema.py --paln", "`python migrate_schema.py` has no option --paln"),
        ("python -m live stats", "there is no command `live stats`"),
        ("python -m live status --wacth 5", "`live status` has no option --wacth"),
        ("prodsafe lock stat", "there is no command `prodsafe lock stat`"),
        ("prodsafe lock release --forec", "`prodsafe lock release` has no option --forec"),
        ("docs/gone.md", "there is no file docs/gone.md"),
        ("live.prod_live.gone", "there is no live.prod_live.gone"),
        ("RISK_NO_SUCH_LIMIT=1", "nothing reads RISK_NO_SUCH_LIMIT"),
        ("DATABSE_URL", "nothing reads DATABSE_URL"),
        ("OLD_JOB_TOKEN=x python -m live.prod_live", "nothing reads OLD_JOB_TOKEN"),
    ],
)
def test_what_is_gone_or_misspelt_is_found_in_a_span_and_in_a_fence(tmp_path: Path, code: str, cause: str) -> None:
    project = repository(tmp_path, {**FILES, "README.md": f"one\n`{code}`\n\n```sh\n{code}\n```\n"})

    found = causes(project)

    assert f"README.md:2 {cause}" in found
    assert f"README.md:5 {cause}" in found


def test_links_and_anchors_resolve(tmp_path: Path) -> None:
    links = (
        "[a](docs/page.md) [b](docs/page.md#a-page-and-more) [c](docs/page.md#code-in-it) [d](docs) [e](#top)\n# Top\n"
    )
    wrong = "[x](gone.md)\n[y](page.md#no-heading)\n[z](../README.md#nowhere)\n`[not](a-link.of)`\n"
    project = repository(tmp_path, {**FILES, "README.md": links, "docs/wrong.md": wrong})

    assert causes(project) == [
        "docs/wrong.md:1 the link gone.md leads nowhere",
        "docs/wrong.md:2 docs/page.md has no heading for #no-heading",
        "docs/wrong.md:3 README.md has no heading for #nowhere",
    ]


def test_a_variable_that_no_document_names_is_found(tmp_path: Path) -> None:
    project = repository(tmp_path, {**FILES, "README.md": "CONFIRM_LIVE is told\n"})

    found = [finding.cause for finding in check_references(project) if finding.place == "docs"]

    assert "DRY_RUN is read and no document names it" in found
    assert "RISK_PER_TRADE_PCT is read and no document names it" in found
    assert "CONFIRM_LIVE is read and no document names it" not in found


def test_the_documents_of_this_repository_name_what_is_there() -> None:
    assert check_references(PROJECT) == []
