"""The scoring of the real-data benchmark, by hand; and its first scored midnight on the real file where it is
present."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from benchmarks.real_data import crps, data_folder, events_of, replace_between, rolling, score, scores
from sim.eventlog import read


def test_crps_of_an_ensemble_is_its_definition() -> None:
    rng = np.random.default_rng(3)
    samples = rng.poisson(3.0, 60).astype(float)
    for actual in (0.0, 2.0, 9.0):
        pairs = np.abs(samples[:, None] - samples[None, :]).mean()
        assert crps(samples, actual) == pytest.approx(np.abs(samples - actual).mean() - 0.5 * pairs)
    assert crps(np.full(5, 4.0), 6.0) == pytest.approx(2.0)  # of a point forecast: the absolute error


def test_scores_by_hand() -> None:
    found = score([np.array([1.0, 3.0]), np.array([4.0, 4.0])], [2.0, 7.0])
    assert found["bias"] == pytest.approx(-1.5)
    assert found["mae"] == pytest.approx(1.5)
    assert found["coverage90"] == pytest.approx(0.5)
    assert found["n"] == 2


def test_tables_are_put_between_their_markers() -> None:
    assert replace_between("a <!-- t -->old<!-- /t --> b", "t", "new") == "a <!-- t -->\nnew\n<!-- /t --> b"
    with pytest.raises(ValueError, match="no markers"):
        replace_between("nothing here", "t", "new")


@pytest.mark.skipif(not (data_folder() / "events.csv").exists(), reason="PLANTWIN_DATA has no machine_shop/events.csv")
def test_a_midnight_uses_only_what_came_before_it() -> None:
    log = read(data_folder() / "events.csv")
    first = datetime(2012, 2, 13)
    known = [r for r in log if r.start < first]
    whole = rolling(log, events_of(log), 60, first, first + timedelta(days=1))
    # hiding the future changes neither state nor forecast
    blind = rolling(
        known,
        [e for e in events_of(log) if e[0] < round(first.timestamp() * 1000)],
        60,
        first,
        first + timedelta(days=1),
    )
    assert np.array_equal(whole[0].twin[1], blind[0].twin[1])
    assert whole[0].wip == blind[0].wip
    assert whole[0].open_orders == 46
    assert whole[0].actual == {1: 2}
    assert set(scores(whole)["1 d"]) == {"twin", "same as last week", "average so far"}
