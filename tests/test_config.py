"""The config refuses, before any work, what is unknown or impossible, with the key, the value and the mend."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from evernas.config import Config, document_of_run, load_config, parse_config, source_address
from evernas.errors import UsageError
from evernas.loop.preflight import check

EXAMPLE = Path(__file__).parents[1] / "examples" / "watch" / "evernas.yaml"


@pytest.fixture
def document() -> dict[str, Any]:
    return yaml.safe_load(EXAMPLE.read_text())


def _set(document: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    if not key:
        return {**changed, **value}
    *path, last = key.split(".")
    place = changed
    for part in path:
        place = place[int(part)] if part.isdigit() else place.setdefault(part, {})
    place[int(last) if last.isdigit() else last] = value
    return changed


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("serach", {}, ["serach", "not known", "evernas schema"]),
        ("search.evaluation", 5, ["search.evaluation", "not known"]),
        ("project", "My Project", ["project", "My Project"]),
        ("data.splits.search", ["2"], ["data.splits", "one split"]),
        ("data.labels", ["A", "A"], ["data.labels", "once"]),
        ("devices.0.name", "a.b", ["devices.0.name", "a.b", "no dots"]),
        ("devices.0.runtime", "abacus", ["devices.0.runtime", "abacus"]),
        ("devices", [], ["devices"]),
        ("devices.0.precisions", [], ["devices.0.precisions"]),
        ("devices.0.precisions", ["int8", "int8"], ["devices.0.precisions", "name each once"]),
        ("devices.0.precisions", ["int4"], ["devices.0.precisions", "int4"]),
        ("data.kind", "text", ["data.kind is text", "give data.text, and that alone"]),
        ("data.text", {}, ["data.kind is signal, and data.text is given"]),
        ("space.text", {}, ["space.text is given, and data.kind is signal"]),
        ("supernet.augment.text", {}, ["supernet.augment.text is given, and data.kind is signal"]),
        ("space", {"text": {"kernels": [4]}}, ["kernels", "[4]", "odd"]),
        ("space", {"text": {"kernels": [], "heads": []}}, ["neither kernels nor heads"]),
        ("space", {"text": {"widths": [30], "heads": [4]}}, ["30", "4 heads"]),
        ("space", {"text": {"depths": [2, 1]}}, ["space.text.depths is [2, 1]", "rising"]),
        ("space", {"text": {"pooling": []}}, ["space.text.pooling is []"]),
        ("data.kind", "image", ["data.kind is image", "give data.image, and that alone"]),
        ("data.image", {"height": 28, "width": 28}, ["data.kind is signal, and data.image is given"]),
        ("space.resolutions", [16], ["space.resolutions is [16]", "it is for images"]),
        ("supernet.augment.mirror", 0.5, ["supernet.augment.mirror is 0.5", "it is for images"]),
        ("space.squeeze_excite", [True, False], ["squeeze_excite", "[false, true]"]),
        ("space", {"kernels": [4]}, ["kernels", "[4]", "odd"]),
        ("space", {"depths": [2, 1]}, ["depths", "[2, 1]", "rising"]),
        ("search.objectives", ["size_kb"], ["search.objectives", "error among them"]),
        ("constraints", [{"metric": "latency_ms", "max": -1}], ["constraints.0.max", "-1"]),
        ("constraints", [{"metric": "error", "max": 1.5}], ["constraints.0", "below 1"]),
        ("constraints", [{"metric": "robust_error", "max": 1}], ["constraints.0", "for robust_error", "below 1"]),
        ("constraints", [{"metric": "worst_domain_error", "max": 1}], ["for worst_domain_error", "below 1"]),
        (
            "",
            {"constraints": [{"metric": "robust_error", "max": 0.3}], "robustness": {"enabled": False}},
            ["robust_error", "robustness.enabled is false", "set it to true"],
        ),
        (
            "",
            {"gate": {"conditions_margin": 0.03}, "robustness": {"enabled": False}},
            ["gate.conditions_margin is 0.03", "robustness.enabled is false", "set it to true"],
        ),
        ("gate.conditions_margin", 1.5, ["gate.conditions_margin", "1.5"]),
        (
            "robustness.corruptions",
            {"fog": 0.5},
            ["names 'fog', which is no corruption of the kind signal", "dropout, noise, gain, shift"],
        ),
        ("robustness.corruptions", {"blur": 0.1}, ["names 'blur', which is no corruption of the kind signal"]),
        ("robustness.corruptions", {"gain": 1.0}, ["robustness.corruptions.gain is 1", "above 0 and at most 0.95"]),
        ("robustness.corruptions", {"noise": 0}, ["robustness.corruptions.noise is 0", "standard deviations"]),
        ("robustness.corruptions", {"noise": float("nan")}, ["robustness.corruptions.noise is nan"]),
        ("robustness.corruptions", {}, ["names none", "robustness.enabled to false"]),
        ("robustness.corruptions", {"noise": "much"}, ["robustness.corruptions.noise = 'much'"]),
        ("robustness.rows", 0, ["robustness.rows"]),
        ("constraints", [{"metric": "latency_ms", "max": 1, "device": "moon"}], ["moon", "laptop"]),
        (
            "",
            {"constraints": [{"metric": "cold_start_ms", "max": 500}], "benchmark": {"cold_starts": 1}},
            ["benchmark.cold_starts is 1", "at least 2 starts"],
        ),
        (
            "",
            {"constraints": [{"metric": "energy_mj", "max": 5}], "benchmark": {"energy_windows": 1}},
            ["benchmark.energy_windows is 1", "at least 2 windows"],
        ),
        (
            "",
            {"gate": {"objectives": ["load_p95_ms"]}, "benchmark": {"load_windows": 1}},
            ["laptop by load_p95_ms", "benchmark.load_windows is 1"],
        ),
        (
            "",
            {"gate": {"objectives": ["load_p95_ms"], "clients": 3}, "benchmark": {"load_clients": [1, 2]}},
            ["with 3 clients", "[1, 2]"],
        ),
        (
            "",
            {"gate": {"objectives": ["load_p95_ms"]}, "benchmark": {"load_clients": []}},
            ["load_clients is empty"],
        ),
        ("gate", {"objectives": ["cost_per_million"]}, ["devices.laptop has no price_per_hour"]),
        ("constraints", [{"metric": "cost_per_million", "max": 1}], ["devices.laptop has no price_per_hour"]),
        ("gate", {"objectives": ["energy_mj", "energy_mj"]}, ["name each once"]),
        ("gate", {"quality": {"metric": "cost"}}, ["gate.quality", "give costs"]),
        ("gate", {"quality": {"costs": [[0, 1], [1, 0]]}}, ["gate.quality", "only then"]),
        ("gate", {"quality": {"metric": "cost", "costs": [[0, 1], [1]]}}, ["no square"]),
        ("gate", {"quality": {"metric": "cost", "costs": [[1, 1], [1, 0]]}}, ["make wrong ones dearer"]),
        ("gate", {"quality": {"metric": "cost", "costs": [[0, 1], [1, 0]]}}, ["2 rows for 7 labels"]),
        ("gate", {"trade_off": {"prices": {}, "effect": 1}}, ["gate.trade_off.prices.error", "is missing; add it"]),
        (
            "gate",
            {"trade_off": {"prices": {"error": 1}, "effect": 1}},
            ["error = 1 alone", "price what you would give"],
        ),
        (
            "gate",
            {"trade_off": {"prices": {"latency_ms": 1}, "effect": 1}},
            ["gate.trade_off.prices.error", "is missing; add it"],
        ),
        (
            "gate",
            {"trade_off": {"prices": {"error": 1, "beauty": 1}, "effect": 1}},
            ["gate.trade_off.prices.beauty", "not known"],
        ),
        (
            "gate",
            {"trade_off": {"prices": {"error": 1, "latency_ms": -2}, "effect": 1}},
            ["gate.trade_off.prices.latency_ms = -2", "greater than 0"],
        ),
        (
            "gate",
            {"trade_off": {"prices": {"error": float("inf"), "size_kb": 1}, "effect": 1}},
            ["gate.trade_off.prices.error = inf", "finite"],
        ),
        (
            "gate",
            {"trade_off": {"prices": {"error": 1, "size_kb": 1}, "effect": 0}},
            ["gate.trade_off.effect = 0", "greater than 0"],
        ),
        (
            "gate",
            {"trade_off": {"prices": {"error": 1, "size_kb": 1}}},
            ["gate.trade_off.effect", "is missing; add it"],
        ),
        (
            "gate",
            {"trade_off": {"prices": {"error": 1, "size_kb": 1}, "effect": 1, "margin": -1}},
            ["gate.trade_off.margin = -1", "greater than or equal to 0"],
        ),
        (
            "gate",
            {"trade_off": {"prices": {"error": 1, "energy_mj": 1}, "effect": 1}},
            ["prices has energy_mj = 1, which is not compared", "add it to gate.objectives, or take its price away"],
        ),
        (
            "",
            {
                "gate": {"trade_off": {"prices": {"error": 1, "size_kb": 1}, "effect": 1}},
                "search": {"objectives": ["error", "latency_ms"]},
            },
            ["prices has size_kb = 1, which is not compared", "add it to search.objectives"],
        ),
        ("supernet.augment", {"rotate": [[0, 1, 9]]}, ["rotate", "[0, 1, 9]", "0 to 5"]),
        ("supernet.augment", {"flip": [[6]]}, ["flip", "[6]", "0 to 5"]),
        ("data.signal.length", 8, ["data.signal.length is 8", "halvings"]),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, Any], key: str, value: Any, said: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        parse_config(_set(document, key, value))
    for word in said:
        assert word in str(error.value)
    assert error.value.exit_code == 2


def test_a_policy_without_a_trade_off_has_the_digest_that_it_had_before_there_were_any(
    document: dict[str, Any],
) -> None:
    plain = parse_config(document)
    assert "trade_off" not in plain.gate.model_dump(mode="json")
    trade = {"prices": {"error": 1, "latency_ms": 2.5}, "effect": 1}
    traded = parse_config(_set(document, "gate.trade_off", trade))
    assert traded.gate.trade_off is not None
    assert traded.gate.trade_off.prices.traded == ["error", "latency_ms"]
    dearer = parse_config(_set(document, "gate.trade_off", {**trade, "effect": 2}))
    assert len({config.section_digest("gate") for config in (plain, traded, dearer)}) == 3
    again = parse_config(traded.model_dump(mode="json", exclude_none=True))
    assert again.gate == traded.gate


def test_all_mistakes_are_said_at_once(document: dict[str, Any]) -> None:
    del document["project"]
    document["sede"] = 3
    with pytest.raises(UsageError, match=r"(?s)project: this key is missing.*sede"):
        parse_config(document)


def test_a_section_that_is_given_twice_is_refused_where_yaml_would_forget_the_first(
    document: dict[str, Any], tmp_path: Path
) -> None:
    """Forgotten constraints would let through what they are there to stop."""
    config = tmp_path / "evernas.yaml"
    text = yaml.safe_dump({**document, "gate": {"max_error": 0.1}}, sort_keys=False)
    config.write_text(f"{text}gate:\n  alpha: 0.02\n")
    with pytest.raises(UsageError, match=r"(?s)the key 'gate' was given here.*line \d+.*and is given again here"):
        load_config(config)
    config.write_text(f"{text}budget:\n  run: {{cpu_hours: 1, cpu_hours: 2}}\n")
    with pytest.raises(UsageError, match="the key 'cpu_hours' was given here"):
        load_config(config)


def test_what_an_anchor_gives_may_be_given_anew_beside_it(document: dict[str, Any], tmp_path: Path) -> None:
    config = tmp_path / "evernas.yaml"
    device = "{name: one, runtime: onnxruntime-cpu, threads: 1}"
    text = yaml.safe_dump({key: value for key, value in document.items() if key != "devices"})
    config.write_text(f"{text}devices:\n  - &one {device}\n  - {{<<: *one, name: two, threads: 2}}\n")
    assert [(device.name, device.threads) for device in load_config(config).devices] == [("one", 1), ("two", 2)]


def test_a_file_that_is_no_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(UsageError, match="not YAML"):
        load_config(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(UsageError, match="no mapping"):
        load_config(tmp_path / "list.yaml")


def test_a_missing_source_is_refused_before_any_work(document: dict[str, Any], tmp_path: Path) -> None:
    config = parse_config(_set(document, "data.source", str(tmp_path / "nowhere")))
    with pytest.raises(UsageError, match=r"data.source is .*nowhere.*create it"):
        check(config, tmp_path)


def test_an_unset_variable_in_the_source_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    config = parse_config(_set(document, "data.source", "${NO_SUCH_VARIABLE}/x"))
    with pytest.raises(UsageError, match="NO_SUCH_VARIABLE is not set"):
        source_address(config, tmp_path)


def test_a_size_that_no_architecture_meets_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    document = _set(document, "data.source", str(tmp_path))
    config = parse_config({**document, "constraints": [{"metric": "size_kb", "max": 0.1}]})
    with pytest.raises(UsageError, match=r"constraints.0.max is 0.1 kB, .*smallest architecture"):
        check(config, tmp_path)


def test_a_bound_of_energy_without_a_sensor_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "incoming" / "watch").mkdir(parents=True)
    bound = _set(document, "constraints", [{"metric": "size_kb", "max": 1e6}, {"metric": "energy_mj", "max": 5}])
    bound = _set(bound, "devices.0.powercap", str(tmp_path))
    with pytest.raises(UsageError, match=r"constraints\.1 bounds energy_mj, which laptop cannot measure\. There is no"):
        check(parse_config(bound), tmp_path)
    compared = _set(_set(document, "gate", {"objectives": ["energy_mj"]}), "devices.0.powercap", str(tmp_path))
    with pytest.raises(UsageError, match=r"gate\.objectives compares energy_mj, which laptop cannot measure"):
        check(parse_config(compared), tmp_path)


def test_more_threads_than_processors_are_refused(document: dict[str, Any], tmp_path: Path) -> None:
    document = _set(_set(document, "data.source", str(tmp_path)), "devices.0.threads", 4096)
    with pytest.raises(UsageError, match="4096"):
        check(parse_config(document), tmp_path)


def test_a_missing_file_of_recorded_measurements_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    document = _set(_set(document, "data.source", str(tmp_path)), "devices.0.recorded", "/no/such/file")
    with pytest.raises(UsageError, match="no such file"):
        check(parse_config(document), tmp_path)


def test_more_evaluations_than_architectures_are_refused(document: dict[str, Any], tmp_path: Path) -> None:
    document["data"]["source"] = str(tmp_path)
    document["space"] = {"stage_widths": [[8]], "depths": [1], "kernels": [3, 5], "expansions": [1]}
    with pytest.raises(UsageError, match=r"search.evaluations is \d+, but the space has only 2"):
        check(parse_config(document), tmp_path)


def test_relative_source_is_relative_to_the_config(document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "evernas.yaml").write_text(yaml.safe_dump(_set(document, "data.source", "data")))
    assert source_address(load_config(tmp_path / "evernas.yaml"), tmp_path / "home") == str(tmp_path / "data")


def test_every_field_is_documented() -> None:
    schema = Config.model_json_schema()
    sections = set(schema["$defs"])
    bare = [
        f"{name}.{key}"
        for name, part in [("Config", schema), *schema["$defs"].items()]
        for key, field in part["properties"].items()
        if "description" not in field and not _is_section(field, schema, sections)
    ]
    assert bare == []


def _is_section(field: dict[str, Any], schema: dict[str, Any], sections: set[str]) -> bool:
    """A reference to a section, which has a description of its own."""
    name = field.get("$ref", "").rpartition("/")[2]
    return name in sections and bool(schema["$defs"][name].get("description"))


def test_a_bucket_as_source_is_no_path(
    document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUCKET", "b")
    document["data"]["source"] = "s3://${BUCKET}/x?region=eu-central-1"
    (tmp_path / "evernas.yaml").write_text(yaml.safe_dump(document))
    assert source_address(load_config(tmp_path / "evernas.yaml"), tmp_path) == "s3://b/x?region=eu-central-1"


DIGITS = yaml.safe_load((EXAMPLE.parents[1] / "digits" / "evernas.yaml").read_text())


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("supernet.augment.rotate", [[0, 1, 2]], ["supernet.augment.rotate", "data.kind is image"]),
        ("supernet.augment.flip", [[0]], ["supernet.augment.flip", "data.kind is image"]),
        ("space.resolutions", [20, 32], ["space.resolutions has [32]", "data.image.height, 28"]),
        ("space.resolutions", [8, 20], ["images of 8 pixels", "16", "halvings"]),
        ("data.image.width", 12, ["images of 12 pixels"]),
        ("data.image.height", 4, ["data.image.height", "8"]),
    ],
)
def test_what_does_not_fit_images_is_refused_with_key_value_and_mend(key: str, value: Any, said: list[str]) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_config(_set(DIGITS, key, value))
    for part in said:
        assert part in str(refusal.value)


def test_corruptions_are_those_of_the_kind_unless_some_are_named(document: dict[str, Any]) -> None:
    def severities(**section: Any) -> dict[str, float]:
        return parse_config({**document, "robustness": section}).robustness.severities("signal")

    assert severities() == {"dropout": 0.5, "noise": 0.3, "gain": 0.2, "shift": 0.2}
    assert severities(corruptions={"noise": None, "gain": 0.1}) == {"noise": 0.3, "gain": 0.1}
    assert severities(enabled=False) == {}


def test_where_training_computes_is_no_part_of_a_key_and_what_it_computes_in_is(document: dict[str, Any]) -> None:
    def key(**supernet: str) -> str:
        return parse_config({**document, "supernet": supernet}, "test").section_digest("supernet", "space")

    assert len({key(), key(device="cuda"), key(device="cpu"), key(precision="fp32")}) == 1
    assert key(precision="bf16") != key()


def test_a_run_is_told_where_to_compute_and_nothing_changes_where_that_is_left_out(document: dict[str, Any]) -> None:
    told = document_of_run(parse_config({**document, "supernet": {"device": "cuda", "precision": "bf16"}}, "test"))
    assert parse_config(told, "run").supernet.device == "cuda"
    assert parse_config(told, "run").supernet.precision == "bf16"
    assert not {"device", "precision"} & set(document_of_run(parse_config(document, "test"))["supernet"])


@pytest.mark.parametrize(
    ("supernet", "pool", "said"),
    [
        ({"device": "cuda"}, {}, r"supernet.device is cuda, and cluster.train names no accelerator"),
        (
            {"device": "cuda", "processes": 4},
            {"accelerator": "nvidia.com/gpu", "accelerators": 2},
            r"supernet.processes is 4, each with a GPU of its own, and cluster.train.accelerators is 2",
        ),
        ({"device": "cpu", "precision": "bf16"}, {}, r"precision is bf16, and device is cpu"),
    ],
)
def test_training_on_gpus_that_no_pool_gives_is_refused(
    document: dict[str, Any], supernet: dict[str, Any], pool: dict[str, Any], said: str
) -> None:
    devices = {device["name"]: {} for device in document["devices"]}
    placed = {"root": "s3://bucket/kfp", "train": pool, "devices": devices}
    with pytest.raises(UsageError, match=said):
        parse_config({**document, "supernet": supernet, "cluster": placed}, "test")
