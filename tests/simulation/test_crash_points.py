"""Scripted lives, and the same with a crash before and after their effects: a successor mends each.

Here every effect of the golden path, and of the other scenes a part; `make crash-points` tries them all.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.simulation.crash_points import Point, effects_of, points_of, try_point
from tests.simulation.scenes import SCENES
from tests.simulation.stage import kind_of

GOLDEN = "golden path"


def first_of_each_kind(scene: str, effects: Sequence[str]) -> list[Point]:
    """One point on each side of the first effect of each kind."""
    firsts = {kind_of(effect): number for number, effect in reversed(list(enumerate(effects, start=1)))}
    return [point for point in points_of(scene, effects) if point.number in firsts.values()]


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_shows_what_it_is_there_for_and_breaks_no_rule(scene: str) -> None:
    assert len(effects_of(scene)) > 25


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_effect_of_the_golden_path_is_mended_by_the_successor(when: str) -> None:
    points = [point for point in points_of(GOLDEN, effects_of(GOLDEN)) if point.when == when]

    assert {point: found for point in points if (found := try_point(point).found)} == {}


@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene != GOLDEN])
def test_a_crash_at_each_kind_of_effect_is_mended_by_the_successor(scene: str) -> None:
    points = first_of_each_kind(scene, effects_of(scene))

    assert {point: found for point in points if (found := try_point(point).found)} == {}
    assert len(points) >= 10
