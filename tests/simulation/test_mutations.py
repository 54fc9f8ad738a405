"""The rules can fail: each layer of the runtime taken out is missed in a life that its twin survives."""

from __future__ import annotations

import pytest

from tests.simulation.mutation_runs import try_out
from tests.simulation.mutations import MUTATIONS, Mutation, taken_out


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_missing_layer_is_noticed(name: str) -> None:
    trial = try_out(name)

    assert trial.rule is not None, f"{name} survived {trial.seed} seeds"
    assert trial.twin == (), f"seed {trial.seed} breaks a rule with the layer in its place, too"


def test_a_layer_is_put_back() -> None:
    from live.book import Book

    before = Book.knows_fill
    with taken_out(MUTATIONS["fills-not-deduplicated"]):
        assert Book.knows_fill is not before
    assert Book.knows_fill is before


def test_a_mutation_of_what_is_no_longer_there_is_an_error() -> None:
    gone = Mutation(says="", replaces={"live.book:Book.no_such_layer": lambda old: old}, breaks=(), faults={})

    with pytest.raises(AttributeError), taken_out(gone):
        pass
