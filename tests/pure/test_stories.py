"""The corpus of call stories: one event a line, then what they come to. To add one, paste it under tests/corpus/calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.given import expect, journeys, lines

STORIES = sorted((Path(__file__).parents[1] / "corpus" / "calls").glob("*.call"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_comes_to_what_it_says(path: Path) -> None:
    story = path.read_text()
    _, wanted = lines(story)
    assert wanted, "a story without an expectation tells nothing"
    expect(journeys(story), wanted)


def test_there_are_stories() -> None:
    assert len(STORIES) >= 8
