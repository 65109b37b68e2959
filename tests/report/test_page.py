"""What the report says, to whom, and that nothing in the data can break it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evernas.report import render_report, write_report
from evernas.report.markup import VOID
from evernas.result import DeviceResult, Point, Result

MEGABYTE = 1 << 20
OPEN_ENDED = VOID | {"path", "line", "rect"}


class Outline(HTMLParser):
    """Text, identifiers, links and headings of a page, and whether every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[int] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        found = dict(attrs)
        self.ids.extend(filter(None, [found.get("id")]))
        self.links.extend(filter(None, [found.get("href")]))
        self.addresses.extend(filter(None, [found.get("src"), found.get("href"), found.get("xlink:href")]))
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """SVG closes itself."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.text).replace("\u202f", " ").replace("\u00a0", " ").split())


@pytest.fixture(scope="module", params=["first_promotion", "promotion", "hold", "nothing_new", "two_devices"])
def any_page(request: pytest.FixtureRequest, history: list[Result]) -> str:
    return render_report(request.getfixturevalue(request.param), history)


def test_page_is_whole_small_and_needs_no_network(any_page: str) -> None:
    outline = Outline(any_page)
    assert outline.open == []
    assert len(any_page.encode()) < MEGABYTE
    assert all(address.startswith(("#", "data:")) for address in outline.addresses)
    assert "@import" not in any_page
    assert not re.search(r"url\((?!#)", any_page)


def test_headings_descend_by_one_and_links_lead_somewhere(any_page: str) -> None:
    outline = Outline(any_page)
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in zip(outline.headings, outline.headings[1:], strict=False))
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)


def test_same_result_gives_the_same_bytes(promotion: Result, history: list[Result]) -> None:
    assert render_report(promotion, history) == render_report(promotion, history)


def test_heading_says_the_outcome_of_every_device(
    first_promotion: Result, two_devices: Result, hold: Result, nothing_new: Result
) -> None:
    assert "The first champion on cpu." in Outline(render_report(first_promotion)).said
    assert "A new champion on cpu; cpu-2-threads keeps its champion." in Outline(render_report(two_devices)).said
    bare = hold.devices[0].model_copy(update={"champion_before": None, "champion_after": None})
    assert "No champion on cpu yet." in Outline(render_report(hold.model_copy(update={"devices": [bare]}))).said
    assert nothing_new.reason in Outline(render_report(nothing_new)).said


def test_verdict_comes_first_with_every_reason(hold: Result) -> None:
    said = Outline(render_report(hold)).said
    assert "cpu: held" in said
    reasons = hold.devices[0].verdict["reasons"]
    places = [said.index(reason["sentence"].removesuffix(".")) for reason in reasons]
    assert max(places) < said.index("The trade-off")


def test_gate_people_are_shown_after_a_promotion_only(promotion: Result, hold: Result) -> None:
    shown, kept_back = (Outline(render_report(result)).said for result in (promotion, hold))
    assert "The domains of the gate are not shown after a hold" in kept_back
    assert "not shown after a hold" not in shown
    quality = shown[shown.index("Quality per domain") : shown.index("Data Since")]
    assert "subject-10" in quality
    assert "subject-10" not in kept_back[kept_back.index("Quality per domain") : kept_back.index("Data Since")]


def test_gate_figures_of_a_hold_are_not_shown_even_if_the_result_holds_them(hold: Result, promotion: Result) -> None:
    leaking = hold.devices[0].model_copy(
        update={"gate_error_by_domain": {"secret person": {"candidate": 0.4, "champion": 0.1}}}
    )
    assert "secret person" not in render_report(hold.model_copy(update={"devices": [leaking]}))


def test_missing_values_read_not_measured_and_never_zero(promotion: Result) -> None:
    device = promotion.devices[0]
    bare = [
        finalist.model_copy(
            update={
                "measurement": {
                    "refused": "the device did not answer",
                    "latency": None,
                    "size_kb": None,
                    "energy_mj": None,
                }
            }
        )
        for finalist in device.finalists
    ]
    result = promotion.model_copy(update={"devices": [device.model_copy(update={"finalists": bare})]})
    said = Outline(render_report(result)).said
    assert "not measured" in said
    assert "the device did not answer" in said
    assert not re.search(r"(?<![\d.,])0(\.0+)? (ms|kB|MB|mJ)\b", said)


def test_unmeasured_champion_and_no_finalists_still_give_a_page(hold: Result) -> None:
    device = hold.devices[0]
    assert device.champion_before is not None
    before = device.champion_before.model_copy(update={"measurement": None})
    bare = device.model_copy(
        update={
            "finalists": [],
            "candidate": None,
            "champion_before": before,
            "points": [],
            "front": [],
            "hypervolume": [],
            "hypervolume_random": [],
            "verdict": {},
            "predictor": {},
            "previous_front": [],
        }
    )
    said = Outline(render_report(hold.model_copy(update={"devices": [bare]}))).said
    assert "No verdict was recorded, so nothing was promoted." in said
    assert "No architecture was evaluated" in said


def test_figures_that_are_not_numbers_do_not_break_a_chart(hold: Result) -> None:
    device = hold.devices[0]
    nan, infinite = float("nan"), float("inf")
    points = [p.model_copy(update={"error": nan}) if i % 3 == 0 else p for i, p in enumerate(device.points)]
    front = [p.model_copy(update={"latency_ms": infinite}) if i % 3 == 0 else p for i, p in enumerate(device.front)]
    reasons = [{**r, "value": nan, "bound": infinite} for r in device.verdict["reasons"]]
    strange = device.model_copy(
        update={
            "points": points,
            "front": front,
            "hypervolume": [nan] * 5,
            "hypervolume_random": [nan] * 5,
            "verdict": {**device.verdict, "reasons": reasons},
        }
    )
    page = render_report(hold.model_copy(update={"devices": [strange]}))
    assert not re.search(r'="[^"]*(NaN|Infinity)', page)


EVIL = "</title></svg><script>alert(1)</script>\"'&<img src=x onerror=alert(2)>\x00\x1b\ud800 日本"


def test_names_from_data_are_text_and_nothing_else(promotion: Result, history: list[Result]) -> None:
    device = promotion.devices[0]
    snapshot = promotion.snapshot
    assert snapshot is not None
    finalists = [
        f.model_copy(
            update={
                "error_by_domain": {EVIL: 0.1, "b": 0.2},
                "architecture": f.architecture.model_copy(update={"id": EVIL}),
            }
        )
        for f in device.finalists
    ]
    reasons = [{**reason, "rule": EVIL, "sentence": EVIL} for reason in device.verdict["reasons"]]
    entry = device.model_copy(
        update={
            "finalists": finalists,
            "verdict": {**device.verdict, "sentence": EVIL, "scope": EVIL, "reasons": reasons},
            "gate_error_by_domain": {EVIL: {"candidate": 0.1, "champion": None}},
            "predictor": {"form": EVIL},
            "points": [p.model_copy(update={"arch": EVIL}) for p in device.points],
        }
    )
    data = snapshot.model_copy(
        update={
            "added": [EVIL],
            "refused_objects": {EVIL: EVIL},
            "quarantine": {EVIL: 3},
            "quarantine_examples": [EVIL],
            "splits": {"train": {EVIL: 3}, "search": {EVIL: 2}, "gate": {}},
            "classes": {"train": {EVIL: 1}},
        }
    )
    result = promotion.model_copy(
        update={"devices": [entry], "snapshot": data, "reason": EVIL, "run": EVIL, "mlflow": {EVIL: EVIL}}
    )
    page = render_report(result, history)
    assert page.count("<script") == 1
    assert "<img" not in page
    assert "\x00" not in page
    assert "日本" in page
    page.encode("utf-8")
    assert Outline(page).open == []


def test_nothing_new_names_the_champion_in_a_short_page(nothing_new: Result, history: list[Result]) -> None:
    page = render_report(nothing_new, history)
    said = Outline(page).said
    last = history[-1].devices[0].champion_after
    assert last is not None
    assert "cpu: unchanged" in said
    assert last.architecture.id in said
    assert "Nothing had to be computed" in said
    assert len(page) < 40_000
    assert "No device has a champion yet." in Outline(render_report(nothing_new)).said


def test_history_skips_runs_that_decided_nothing(promotion: Result, history: list[Result], nothing_new: Result) -> None:
    quiet = [run for entry in history for run in (entry, nothing_new)]
    assert render_report(promotion, quiet) == render_report(promotion, history)
    assert "This is the first run that decided for this device" in Outline(render_report(promotion)).said


def test_differences_between_networks_are_told_and_the_same_network_is_said_to_be_the_same(promotion: Result) -> None:
    device = promotion.devices[0]
    said = Outline(render_report(promotion)).said
    assert "The new champion differs from the champion before in:" in said
    assert device.champion_before is not None
    twin = device.champion_before.model_copy(update={"architecture": device.finalists[1].architecture})
    same = Outline(
        render_report(promotion.model_copy(update={"devices": [device.model_copy(update={"champion_before": twin})]}))
    ).said
    assert "the very architecture of the champion before" in same


def test_ten_times_the_points_and_many_people_stay_small(
    promotion: Result, make_device: Callable[..., DeviceResult]
) -> None:
    device = make_device("cpu", 11, before=promotion.devices[0].champion_before, passes=True, evaluations=2000)
    people = {f"person-{i}": (i * 37 % 100) / 200 for i in range(500)}
    finalists = [f.model_copy(update={"error_by_domain": people}) for f in device.finalists]
    page = render_report(promotion.model_copy(update={"devices": [device.model_copy(update={"finalists": finalists})]}))
    assert len(page.encode()) < 2 * MEGABYTE
    assert "The worst 16 of 502 are drawn." in page


def test_written_page_is_whole_while_two_write_it(promotion: Result, hold: Result, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "report.html"
    threads = [threading.Thread(target=write_report, args=(path, result)) for result in (promotion, hold)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text(encoding="utf-8") in {render_report(promotion), render_report(hold)}
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_failed_write_leaves_the_old_page(promotion: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(path, promotion)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "old"


def test_a_predictor_that_no_longer_fits_the_device_is_told(promotion: Result) -> None:
    def said(recorded: str | None = None, **departure: object) -> str:
        devices = [
            d.model_copy(update={"departure": departure, "recorded": recorded is not None}) for d in promotion.devices
        ]
        return Outline(render_report(promotion.model_copy(update={"devices": devices}), [])).said

    found = said(ratio=1.62, band=0.15, networks=4, stale=True)
    assert (
        "the finalists take 1.62 times what was predicted, more than the predictor's own errors explain (15 %)" in found
    )
    assert "times what was predicted" not in said(ratio=1.05, band=0.15, networks=4, stale=False)
    assert "the next run profiles it again" in found
    lasting = said(ratio=1.62, band=0.15, networks=4, before=1.58, stale=True, lasting=True)
    assert "1.58 times before the device was last profiled again, which did not help" in lasting
    today = said(ratio=1.02, drift=1.6, since_profile=1.63, band=0.15, networks=4, departed=True, stale=False)
    assert "take 1.63 times what the profile foresees and 1.02 times what the probes let predict of it" in today
    assert "where the next run finds the same, the device is profiled again" in today
    misled = said(ratio=0.65, drift=1.6, since_profile=1.04, band=0.15, networks=4, departed=False, misled=True)
    assert "take 1.04 times what the profile foresees, and 0.65 times what the probes let predict of it" in misled
    assert "profiled again" not in misled
    kept = said("elsewhere", ratio=1.62, band=0.15, networks=4, stale=True, lasting=False)
    assert "the recorded measurements are not of the device that the recorded profile is of" in kept
    assert "profiles it again" not in lasting + kept


def test_a_predictor_of_memory_that_no_longer_fits_is_told_by_its_name(promotion: Result) -> None:
    departures = {"peak_memory_mb": {"ratio": 1.4, "band": 0.15, "networks": 4, "stale": True}}

    def needing(device: DeviceResult, mb: float) -> DeviceResult:
        finalists = [
            f.model_copy(
                update={
                    "predicted": {"peak_memory_mb": mb / 1.4},
                    "measurement": {**f.measurement, "peak_memory_mb": mb},
                }
            )
            for f in device.finalists
        ]
        return device.model_copy(update={"more_departures": departures, "finalists": finalists})

    devices = [needing(device, 2.8) for device in promotion.devices]
    said = Outline(render_report(promotion.model_copy(update={"devices": devices}), [])).said
    assert "In the median the finalists need 1.40 times what was predicted" in said
    assert "the next run profiles it again" in said


def test_sizes_that_were_foreseen_are_not_told_as_weights(promotion: Result) -> None:
    def said(precision: str) -> str:
        devices = [d.model_copy(update={"searched_precision": precision}) for d in promotion.devices]
        return Outline(render_report(promotion.model_copy(update={"devices": devices}), [])).said

    assert "dots by their weights" in said("fp32")
    assert "dots by their weights" not in said("int8")
    assert "dots as predicted, larger marks as measured" in said("int8")


def test_memory_and_energy_are_axes_where_they_were_searched_for(promotion: Result) -> None:
    def with_memory(device: DeviceResult) -> DeviceResult:
        def priced(points: list[Point]) -> list[Point]:
            return [p.model_copy(update={"peak_memory_mb": 2 + p.size_kb / 100}) for p in points]

        finalists = [f.model_copy(update={"predicted": {"peak_memory_mb": 3.1}}) for f in device.finalists]
        known = {"networks": 40, "median_abs_error": 0.012, "spearman": 0.943}
        return device.model_copy(
            update={
                "points": priced(device.points),
                "front": priced(device.front),
                "finalists": finalists,
                "more_predictors": {"peak_memory_mb": known},
            }
        )

    plain = Outline(render_report(promotion, []))
    assert "Error against peak memory" not in plain.said
    devices = [with_memory(device) for device in promotion.devices]
    said = Outline(render_report(promotion.model_copy(update={"devices": devices}), [])).said
    assert "Error against peak memory" in said, "also where the run before knew of none"
    assert "Predicted and measured peak memory" in said
    assert "half of them within 1.2 %" in said
    assert "predicted: latency, peak memory" in said
    assert "Error against energy" not in said


def test_the_ranking_says_how_many_finalists_are_lacking_and_then_what_it_is_worth(
    first_promotion: Result, promotion: Result
) -> None:
    few, many = (Outline(render_report(result)).said.replace("\u202f", " ") for result in (first_promotion, promotion))
    assert "4 of 20 finalists are there to tell by, 16 are lacking" in few
    assert "tau 0." not in few
    assert "from 32 finalists. That is more than chance" in many
    assert "finalist of this run" in many
    assert "finalist of run 2026-11-01" in many


@pytest.mark.parametrize(
    ("tau", "said"),
    [
        ((-0.6, -0.9, -0.2), "That is worse than chance: do not trust"),
        ((0.1, -0.3, 0.4), "That may be chance"),
        ((None, None, None), "cannot be told: of 32 finalists those of one run have the same error"),
    ],
)
def test_a_ranking_that_is_worth_little_is_said_to_be(
    tau: tuple[float | None, float | None, float | None], said: str, promotion: Result
) -> None:
    assert promotion.supernet is not None
    assert promotion.supernet.ranking is not None
    ranking = promotion.supernet.ranking.model_copy(update=dict(zip(("tau", "low", "high"), tau, strict=True)))
    supernet = promotion.supernet.model_copy(update={"ranking": ranking})
    assert said in Outline(render_report(promotion.model_copy(update={"supernet": supernet}))).said


def test_the_result_of_an_older_version_has_no_ranking_and_still_gives_a_page(promotion: Result) -> None:
    assert promotion.supernet is not None
    supernet = promotion.supernet.model_copy(update={"ranking": None})
    said = Outline(render_report(promotion.model_copy(update={"supernet": supernet}))).said
    assert "Supernet Trained for" in said
    assert "fine-tuning does" not in said


def test_a_decision_that_read_no_gate_split_is_not_counted_on_it(hold: Result) -> None:
    device = hold.devices[0]
    verdict = {**device.verdict, "decision": 0, "level": 0.0, "scope": "The gate split was not read."}
    result = hold.model_copy(update={"devices": [device.model_copy(update={"verdict": verdict})]})
    said = Outline(render_report(result)).said
    assert "The gate split was not read." in said
    assert "Decision 0" not in said


def test_errors_beside_a_verdict_say_of_which_split_they_are(hold: Result) -> None:
    assert "Error, search split" in Outline(render_report(hold)).said
