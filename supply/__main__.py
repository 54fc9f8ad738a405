"""python -m supply: the checks, and what writes the licences and the bills of materials. [S]"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Callable
from itertools import product
from pathlib import Path

import click

from supply.findings import Finding

PROJECT = Path(__file__).resolve().parents[1]
HERE = Path(sysconfig.get_path("purelib"))


def _checks() -> dict[str, Callable[[Path], list[Finding]]]:
    from supply.licences import check_licences
    from supply.lock import check_addresses, check_locks
    from supply.references import check_references
    from supply.secrets import check_secrets

    return {
        "locks": check_locks,
        "addresses": check_addresses,
        "licences": check_licences,
        "references": check_references,
        "secrets": check_secrets,
    }


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """What this project is made of, and what may not lie in it."""


@main.command()
@click.argument("names", nargs=-1)
def check(names: tuple[str, ...]) -> None:
    """Run these checks (locks, addresses, licences, references, secrets), or all; exit 1 when one finds something."""
    checks = _checks()
    if unknown := set(names) - checks.keys():
        raise click.BadParameter(f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(checks)}")
    failed = False
    for name in names or checks:
        found = checks[name](PROJECT)
        failed |= bool(found)
        click.echo(f"{name}: {f'{len(found)} found' if found else 'ok'}")
        for finding in found:
            click.echo(f"  {finding.as_text()}")
    sys.exit(failed)


@main.command()
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
def licences(folders: tuple[Path, ...]) -> None:
    """Write docs/licences.md from what is installed here and in these other site-packages FOLDERS."""
    from supply.licences import TABLE, table

    (PROJECT / TABLE).write_text(table(PROJECT, *folders, HERE))


@main.command()
def wheels() -> None:
    """Ask the registry whether every pin has wheels with its hashes, for each Python and platform of production."""
    from supply.lock import LOCKS, PLATFORMS, PYTHONS
    from supply.lock import wheels as lacking

    for lock, python, platform in product(LOCKS, PYTHONS, PLATFORMS):
        complaint = lacking(PROJECT, lock, python, platform)
        click.echo(f"{lock} python {python} {platform}: {complaint or 'ok'}")
        if complaint:
            sys.exit(1)


@main.command()
def bill() -> None:
    """Write the bills of materials of the locks, as CycloneDX JSON, under build/."""
    from supply.bill import write_bills

    for path in write_bills(PROJECT):
        click.echo(path.relative_to(PROJECT))


if __name__ == "__main__":
    main(prog_name="python -m supply")
