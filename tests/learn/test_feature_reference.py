from pathlib import Path

from bnml.core.clock import frame_ns
from bnml.kernels.features import FeatureLayout
from bnml.learn import feature_meanings as meanings
from bnml.learn.feature_reference import DEFAULT_LAYOUT, feature_reference
from bnml.learn.feature_successors import all_successors
from bnml.trading.settings import FeatureSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "features.md"


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text("utf-8") == feature_reference(), (
        "write docs/features.md anew; its first lines say how"
    )


def test_every_column_is_explained_and_nothing_else_is():
    assert {*meanings.BASE, *meanings.CONFLUENCE} <= set(DEFAULT_LAYOUT.names)
    explained = [*meanings.BASE]
    for frame in ("1h", "4h", "1d"):
        explained += [f"mtf_{frame}_{name}" for name in meanings.HIGHER]
    assert (*explained, *meanings.CONFLUENCE) == DEFAULT_LAYOUT.names


def test_the_page_shows_the_default_configuration():
    settings = FeatureSettings()
    higher = tuple(frame_ns(frame) for frame in settings.higher_frames)
    assert FeatureLayout(frame_ns(settings.base_frame), higher) == DEFAULT_LAYOUT
    assert DEFAULT_LAYOUT.warmup_bars <= settings.history_bars


def test_each_of_the_114_columns_has_a_successor_that_exists_or_a_reason():
    successors = all_successors()
    assert len(successors) == 52 + 18 * 3 + 8
    for name, after in successors.items():
        assert after.change, name
        assert set(after.columns) <= set(DEFAULT_LAYOUT.names), name
        assert after.columns or "dropped" in after.change, name


def test_no_column_of_ours_is_without_an_ancestor_but_the_plain_return():
    inherited = {column for after in all_successors().values() for column in after.columns}
    assert set(DEFAULT_LAYOUT.names) - inherited == {"log_return_1"}
