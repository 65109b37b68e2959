"""A device that takes networks in eight bits alone is profiled, searched, probed and watched in eight bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from evernas.config import Config, DeviceConfig, TextConfig, TextSpaceConfig, load_config
from evernas.digest import digest_file
from evernas.errors import EvernasError, UsageError
from evernas.hardware.predictor import CostPredictor
from evernas.spaces import TextSpace
from evernas.state import Done, Home, RunManifest
from evernas.steps.context import Setting
from evernas.steps.costing import BYTES_PER_WEIGHT, Costing
from evernas.steps.exporting import export_untrained, network_file, network_files
from evernas.steps.profile import networks_of, profile_inputs
from place import EXAMPLE


def setting(home: Home, precisions: list[str]) -> Setting:
    document = load_config(EXAMPLE).model_dump(mode="json")
    document["devices"] = [{"name": "laptop", "precisions": precisions}]
    manifest = RunManifest("r0", Config.model_validate(document), "", "2026-01-01T00:00:00+00:00", None, {}, "")
    return Setting(home, manifest, "laptop")


def exported(here: Setting, folder: Path, count: int = 2) -> Done:
    space, rng = here.space, np.random.default_rng(0)
    archs = [space.smallest(), space.largest(), *(space.random(rng) for _ in range(count - 2))]
    made = export_untrained(space, archs[:count], folder / "profile", ("fp32", "int8"))
    return Done("supernet/x", folder, {"profile": made}, {}, "r0")


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.parametrize(
    ("precisions", "searched"), [(["fp32"], "fp32"), (["int8"], "int8"), (["int8", "fp32"], "fp32")]
)
def test_the_search_goes_by_eight_bits_where_nothing_else_is_made(precisions: list[str], searched: str) -> None:
    assert DeviceConfig(name="laptop", precisions=precisions).searched_precision == searched


def test_subnets_lie_in_both_precisions_and_each_device_takes_its_own(home: Home, tmp_path: Path) -> None:
    here, small = setting(home, ["fp32"]), setting(home, ["int8"])
    supernet = exported(here, tmp_path)
    names = [f"profile/{name}" for name in network_files(supernet.facts["profile"])]
    assert len(names) == 4
    for subnet in supernet.facts["profile"]:
        whole, eight = (networks_of(each, supernet)[subnet["id"]] for each in (here, small))
        assert {whole, eight} <= {tmp_path / name for name in names}
        assert (digest_file(whole), digest_file(eight)) == (subnet["digest"], subnet["int8"])
        assert "QuantizeLinear" in operators(eight)
        assert "QuantizeLinear" not in operators(whole)
    assert profile_inputs(here, supernet)["subnets"] == [subnet["digest"] for subnet in supernet.facts["profile"]]
    assert profile_inputs(small, supernet)["subnets"] == [subnet["int8"] for subnet in supernet.facts["profile"]]


def test_the_same_subnet_has_the_same_bytes_in_eight_bits_too(home: Home, tmp_path: Path) -> None:
    here = setting(home, ["int8"])
    first, second = (exported(here, tmp_path / name).facts["profile"] for name in "ab")
    assert first == second


def test_texts_are_quantised_too_down_to_the_smallest_network(tmp_path: Path) -> None:
    space = TextSpace(TextConfig(), 3, TextSpaceConfig())
    made = export_untrained(space, [space.smallest(), space.largest()], tmp_path, ("int8",))
    assert [network_file(each["id"], "int8") for each in made] == network_files(made)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(network_files(made)), "no others are written"


def test_networks_that_cannot_be_quantised_fail_only_who_takes_no_others(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> bytes:
        raise EvernasError("no")

    monkeypatch.setattr("evernas.hardware.quantise.quantise", refuse)
    here = setting(home, ["fp32", "int8"])
    supernet = exported(here, tmp_path)
    assert set(networks_of(here, supernet)) == {subnet["id"] for subnet in supernet.facts["profile"]}
    with pytest.raises(UsageError, match="can be quantised to int8, and laptop takes no others: add fp32"):
        networks_of(setting(home, ["int8"]), supernet)


def test_the_size_of_a_file_in_eight_bits_is_foreseen_of_files_and_not_of_weights(home: Home, tmp_path: Path) -> None:
    here = setting(home, ["int8"])
    space, files = here.space, networks_of(here, exported(here, tmp_path, 24))
    archs = {arch.id: arch for arch in _known(here, tmp_path)}
    known = [arch for arch in files if arch in archs][:20]
    sizes = {arch: files[arch].stat().st_size / 1000 for arch in files}
    features = np.stack([space.features(archs[arch]) for arch in known])
    costing = Costing(space, {"size_kb": CostPredictor.fit(features, np.array([sizes[arch] for arch in known]))})
    for arch in list(files)[20:]:
        weights = float(space.parameters(archs[arch]))
        assert costing.costs(archs[arch])["size_kb"] == pytest.approx(sizes[arch], rel=0.05)
        assert sizes[arch] < weights * BYTES_PER_WEIGHT / 1000 * 1.1
    assert Costing(space, {}).costs(space.largest())["size_kb"] == space.parameters(space.largest()) * 4 / 1000


def _known(here: Setting, folder: Path) -> list[Any]:
    space, rng = here.space, np.random.default_rng(0)
    return [space.smallest(), space.largest(), *(space.random(rng) for _ in range(22))]
