"""The scoring of the real-data benchmark, by hand; its page and result file; a scored midnight where the file is."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks._record import RESULTS
from benchmarks._shop import DAYS, Forecast, Method, Origin, Past, Snapshot, past_of, plant_ms, rolling
from benchmarks._shop_score import all_scores, crps, remaining, score, wip
from benchmarks.real_data import choice_table, data_folder, days_table, events_of, pictures, replace_between, table
from sim.eventlog import read
from twin.orders import DAY_MS, GONE

PAGE = Path(__file__).parents[2] / "docs" / "real-data.md"
DAY = datetime(2012, 2, 13)


def test_crps_of_an_ensemble_is_its_definition() -> None:
    rng = np.random.default_rng(3)
    samples = rng.poisson(3.0, 60).astype(float)
    for actual in (0.0, 2.0, 9.0):
        pairs = np.abs(samples[:, None] - samples[None, :]).mean()
        assert crps(samples, actual) == pytest.approx(np.abs(samples - actual).mean() - 0.5 * pairs)
    assert crps(np.full(5, 4.0), 6.0) == pytest.approx(2.0)  # of a point forecast: the absolute error


def test_scores_by_hand() -> None:
    found = score([(np.array([1.0, 3.0]), 2.0), (np.array([4.0, 4.0]), 7.0)])
    assert found["bias"] == pytest.approx(-1.5)
    assert found["mae"] == pytest.approx(1.5)
    assert found["coverage90"] == pytest.approx(0.5)
    assert found["n"] == 2


def one_origin() -> tuple[list[Origin], Past]:
    """Two open orders at DAY: A is done half a day later, B never; every earlier order took 2.5 days from any midnight
    at which it was open."""
    midnight = plant_ms(DAY)
    past = Past()
    for back in range(-7, 40):
        t = midnight - back * DAY_MS
        past.at[t] = Snapshot(Counter(saw=1 + back % 2), {f"o{back}": ("saw", 1)})
        past.finished[f"o{back}"] = t + round(2.5 * DAY_MS)
    past.at[midnight].orders.clear()
    past.at[midnight].orders.update(A=("saw", 1), B=("saw", 1))
    past.finished["A"] = midnight + DAY_MS // 2
    still = np.array([[0.0] * DAYS, [0.5] * DAYS])
    samples = {h: np.array([[1.0], [3.0]]) for h in (1, 2, 3, 5, 7)}
    forecast = Forecast(["saw"], {"saw": "saw"}, {h: s[:, 0] for h, s in samples.items()}, samples, ["A", "B"], still)
    return [Origin(DAY, midnight, forecast, past.at[midnight])], past


def test_remaining_times_by_hand() -> None:
    origins, past = one_origin()
    found = remaining(origins, past, plant_ms(DAY) + 7 * DAY_MS)
    assert found["twin"]["n"] == 2
    assert found["twin"]["mae"] == pytest.approx((0 + 3.5) / 2)  # B: half of seven days short
    assert found["twin"]["crps"] == pytest.approx((0 + 7 * 0.25) / 2)
    # the past says: open after one and two days, done after three; A was done on the first, B after none
    alike = found["past orders at the same activity"]
    assert alike["crps"] == pytest.approx((2 + 5) / 2)
    assert alike["bias"] == pytest.approx((2 - 5) / 2)
    assert remaining(origins, past, plant_ms(DAY) + 6 * DAY_MS) == {}  # seven days are not over yet


def test_wip_by_hand() -> None:
    origins, past = one_origin()
    found = wip(origins, past, plant_ms(DAY) + 7 * DAY_MS)
    (pair,) = found[2]["twin"]
    assert pair[1] == 1.0  # two days on: an even number of days from the midnight
    (moved,) = found[1]["as now, with past changes"]
    assert set(moved[0]) == {0.0, 2.0}  # now 1; it has gone up or down by 1 each day
    assert moved[1] == 2.0


def test_tables_are_put_between_their_markers() -> None:
    assert replace_between("a <!-- t -->old<!-- /t --> b", "t", "new") == "a <!-- t -->\nnew\n<!-- /t --> b"
    with pytest.raises(ValueError, match="no markers"):
        replace_between("nothing here", "t", "new")


def test_the_page_and_its_pictures_are_the_result_file() -> None:
    kept = json.loads((RESULTS / "real_data.json").read_text())["detail"]
    choice = json.loads((RESULTS / "real_data_choice.json").read_text())["detail"]["crps_ratio"]
    page = PAGE.read_text()
    for text in (table(kept["scores"]), days_table(kept["days"]), choice_table(choice)):
        assert text in page
    for name, svg in pictures(kept["scores"]).items():
        assert (PAGE.parent / "img" / name).read_text() == svg
    assert min(choice, key=lambda name: choice[name]) == kept["method"]


@pytest.mark.skipif(not (data_folder() / "events.csv").exists(), reason="PLANTWIN_DATA has no machine_shop/events.csv")
def test_a_midnight_uses_only_what_came_before_it() -> None:
    log = read(data_folder() / "events.csv")
    method = Method(28.0, True, 1, 2, 20)
    whole = rolling(log, events_of(log), method, DAY, DAY + timedelta(days=1))
    # hiding the future changes neither state nor forecast
    known = [r for r in log if r.start < DAY]
    seen = [e for e in events_of(log) if e[0] < plant_ms(DAY)]
    blind = rolling(known, seen, method, DAY, DAY + timedelta(days=1))
    one, other = whole[0].forecast, blind[0].forecast
    for h in (1, 7):
        assert np.array_equal(one.completions[h], other.completions[h])
        assert np.array_equal(one.wip[h], other.wip[h])
    assert np.array_equal(one.open_after, other.open_after)
    assert whole[0].snapshot == blind[0].snapshot
    assert len(one.orders) == 46
    assert (np.diff(one.open_after, axis=1) <= 0).all()
    past = past_of(events_of(log))
    found = all_scores(whole, past, plant_ms(DAY + timedelta(days=7)))
    assert past.completions(plant_ms(DAY), plant_ms(DAY) + DAY_MS) == 2
    assert set(found["completions"]["1 d"]) == {"twin", "same as last week", "average so far"}
    assert found["remaining"]["up to 7 d"]["twin"]["n"] == 46
    assert GONE not in one.centers
