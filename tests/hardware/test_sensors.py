"""Energy from a node's exporter, as recorded ones answer, and from power rails; no figure without trust."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evernas.hardware.energy import Meter, RestartedError, SensorError
from evernas.hardware.sensors import sensor_at
from evernas.hardware.sensors.asking import NoPageError, _connection, page
from evernas.hardware.sensors.exporter import Exporter
from evernas.hardware.sensors.rails import Rails

NODE_EXPORTER = """\
# HELP node_rapl_core_joules_total Current RAPL core value in joules
# TYPE node_rapl_core_joules_total counter
node_rapl_core_joules_total{{index="0",path="/sys/class/powercap/intel-rapl:0:0"}} 71237.1
# HELP node_rapl_package_joules_total Current RAPL package value in joules
# TYPE node_rapl_package_joules_total counter
node_rapl_package_joules_total{{index="0",path="/sys/class/powercap/intel-rapl:0"}} {first}
node_rapl_package_joules_total{{index="1",path="/sys/class/powercap/intel-rapl:1"}} {second}
node_scrape_collector_success{{collector="rapl"}} 1
"""
KEPLER = """\
# HELP kepler_node_cpu_joules_total Energy consumption of cpu at node level in joules
# TYPE kepler_node_cpu_joules_total counter
kepler_node_cpu_joules_total{{node_name="edge-1",path="/sys/class/powercap/intel-rapl:0",zone="package"}} {first}
kepler_node_cpu_joules_total{{node_name="edge-1",path="/sys/class/powercap/intel-rapl:1",zone="package"}} {second}
kepler_node_cpu_joules_total{{node_name="edge-1",path="/sys/class/powercap/intel-rapl:0:1",zone="dram"}} 1{first}
"""


class Node:
    """A node with two packages, its clock, and an exporter that refreshes its figures every so many seconds."""

    def __init__(self) -> None:
        self.form, self.status, self.refresh_s = NODE_EXPORTER, 200, 0.0
        self.now, self.used, self.shown = 0.0, 10_000.0, (0.0, 10_000.0)
        self.asked, self.location = 0, ""
        node = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                node.asked += 1
                self.send_response(node.status)
                if node.location:
                    self.send_header("Location", node.location)
                self.end_headers()
                self.wfile.write(node.page().encode())

            def log_message(self, *arguments: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/metrics"

    def page(self) -> str:
        if self.now - self.shown[0] >= self.refresh_s:
            self.shown = (self.now, self.used)
        return self.form.format(first=self.shown[1], second=2 * self.shown[1])

    def pass_time(self, seconds: float, watts: float) -> None:
        """Both packages together use three times these watts."""
        self.now += seconds
        self.used += seconds * watts

    def meter(self, seconds: float = 1.0) -> Meter:
        idle: Callable[[float], None] = lambda rest: self.pass_time(rest, 2.0)  # noqa: E731
        return Meter(Exporter.find(self.url), seconds, lambda: self.now, idle)


@pytest.fixture
def node() -> Iterator[Node]:
    made = Node()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize("form", [NODE_EXPORTER, KEPLER], ids=["node-exporter", "kepler"])
@pytest.mark.parametrize("refresh_s", [0.0, 3.0])
def test_packages_of_an_exporter_count_however_seldom_it_refreshes(node: Node, form: str, refresh_s: float) -> None:
    node.form, node.refresh_s = form, refresh_s
    meter = node.meter()
    idle_w = meter.idle_w()
    assert idle_w == pytest.approx(6.0)
    found = meter.window(lambda: node.pass_time(0.03, 10.0), idle_w)
    # The moment of a change is known to a look, a tenth of a second in three.
    assert found["mj"] == pytest.approx(1000 * (30.0 - 6.0) * 0.03, rel=0.05)


def test_the_exporter_is_not_asked_at_each_call(node: Node) -> None:
    meter = node.meter()
    meter.window(lambda: node.pass_time(0.001, 10.0), 6.0)
    assert node.asked < 12


def test_a_counter_that_begins_anew_is_taken_once_more_and_then_given_up(node: Node) -> None:
    meter = node.meter()
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1
        node.pass_time(0.05, 10.0)
        if calls == 10:
            node.used = 0.0

    assert meter.window(work, 6.0)["mj"] == pytest.approx(1000 * 24.0 * 0.05)
    assert calls > 25, "more than one window"

    def worse() -> None:
        node.pass_time(0.05, 10.0)
        node.used -= 1.0

    with pytest.raises(RestartedError, match="began anew in the middle"):
        meter.window(worse, 6.0)


def test_an_exporter_that_stands_still_gives_no_figure(node: Node) -> None:
    node.refresh_s = 1e9
    with pytest.raises(SensorError, match="did not change in 60 s: they are stale"):
        node.meter().window(lambda: node.pass_time(0.5, 10.0), 6.0)


def test_what_is_wrong_with_an_exporter_is_said(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.form = '# nothing\nnode_cpu_seconds_total{{cpu="0"}} 1\n'
    with pytest.raises(SensorError, match="tells of no energy: it has none of kepler_node_cpu_joules_total"):
        Exporter.find(node.url)
    node.form = NODE_EXPORTER.replace("{first}", "NaN")
    with pytest.raises(SensorError, match="says 'NaN', which is no number of joules"):
        Exporter.find(node.url)
    node.form, node.status = NODE_EXPORTER, 403
    with pytest.raises(SensorError, match="refuses with 403"):
        Exporter.find(node.url)
    with pytest.raises(SensorError, match="does not answer"):
        Exporter.find("http://127.0.0.1:9/metrics")
    with pytest.raises(SensorError, match="names a variable that is not set"):
        Exporter.find("http://${EVERNAS_NODE_NOT_SET}:9100/metrics")
    monkeypatch.setenv("EVERNAS_NODE_IP", node.url.removeprefix("http://").removesuffix("/metrics"))
    node.status = 200
    assert sensor_at("http://${EVERNAS_NODE_IP}/metrics", "/nowhere").name == "exporter, node_rapl_package_joules_total"


def test_what_an_address_stands_for_is_never_told(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are published, and an address goes to whoever stands behind it."""
    secret = "s3cr3t"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("EVERNAS_GATE_KEY", secret)
    asked = node.asked
    for name in ("AWS_SECRET_ACCESS_KEY", "EVERNAS_GATE_KEY"):
        for written in (f"${{{name}}}", f"${name}"):
            with pytest.raises(SensorError, match=r"not put in: write \$\{EVERNAS_NODE_IP\}") as refused:
                Exporter.find(f"{node.url}?key={written}")
            assert secret not in str(refused.value)
    assert node.asked == asked
    monkeypatch.setenv("EVERNAS_NODE_IP", f"127.0.0.1:{secret}")
    said = "http://${EVERNAS_NODE_IP}/metrics is no address: write http://host:port/metrics"
    with pytest.raises(SensorError, match=re.escape(said)) as refused:
        Exporter.find("http://${EVERNAS_NODE_IP}/metrics")
    assert secret not in str(refused.value)
    for address in (f"http://me:{secret}@127.0.0.1:9/x", f"http://me:{secret}/@127.0.0.1:9/x"):
        with pytest.raises(SensorError, match=r"The exporter http://127\.0\.0\.1:9/x") as refused:
            Exporter.find(address)
        assert secret not in str(refused.value)
    monkeypatch.setenv("EVERNAS_NODE_HOST", "127.0.0.1")
    written = node.url.replace("127.0.0.1", "${EVERNAS_NODE_HOST}")
    assert Exporter.find(written).address == written
    assert "127.0.0.1" not in repr(Exporter.find(written))


def test_an_exporter_that_sends_on_to_another_address_is_not_followed(node: Node) -> None:
    node.status, node.location = 302, "/elsewhere"
    asked = node.asked
    with pytest.raises(SensorError, match=r"answers 302 \(Found\) and sends on to another address, which is not asked"):
        Exporter.find(node.url)
    assert node.asked == asked + 1


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.0 200 OK\r\n\r\n"], ids=["head", "body"])
def test_a_page_that_drips_is_given_up_in_time(begun: bytes) -> None:
    ended = threading.Event()

    def drip(listening: socket.socket) -> None:
        asking, _ = listening.accept()
        with asking, suppress(OSError):
            asking.sendall(begun)
            while not ended.wait(0.05):
                asking.sendall(b"x")
        ended.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        dripping = threading.Thread(target=drip, args=(listening,), daemon=True)
        dripping.start()
        start = time.monotonic()
        with pytest.raises(NoPageError, match=r"does not answer in full within 0\.4 s"):
            page(f"http://127.0.0.1:{listening.getsockname()[1]}/metrics", 0.4)
        assert time.monotonic() - start < 10
        dripping.join(30)
        assert ended.is_set(), "the connection is broken off"


def test_an_exporter_whose_counters_change_is_another_node(node: Node) -> None:
    exporter = Exporter.find(node.url)
    before = exporter.read()
    node.form = KEPLER
    with pytest.raises(SensorError, match="other counters than a moment ago"):
        exporter.joules(before, exporter.read())


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A chip with two rails of voltage and current, and another with a power."""
    chip, other = tmp_path / "hwmon3", tmp_path / "hwmon4"
    for folder, name in ((chip, "ina3221"), (other, "ina226")):
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
    for number, label, current in ((1, "VDD_IN", 1000), (2, "VDD_CPU", 400)):
        (chip / f"in{number}_label").write_text(f"{label}\n")
        (chip / f"in{number}_input").write_text("5000\n")
        (chip / f"curr{number}_input").write_text(f"{current}\n")
    (chip / "in7_label").write_text("sum of shunt voltages\n")
    (other / "power1_input").write_text("2500000\n")
    return tmp_path


def still(root: Path, chosen: str, monkeypatch: pytest.MonkeyPatch) -> Rails:
    """The rails without their thread, at the second 0."""
    found = Rails.find(chosen, root)
    monkeypatch.setattr(found, "_go_on", lambda: None)
    found.clock = lambda: 0.0
    return found


def sampling() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "power"]


def test_a_mere_look_for_rails_leaves_nothing_at_work(board: Path) -> None:
    before = sampling()
    rails = Rails.find("ina3221/VDD_IN", board)
    assert rails.name
    assert sampling() == before
    assert rails.read().joules == 0.0
    assert len(sampling()) == len(before) + 1, "the first reading begins it"
    rails.read()
    assert len(sampling()) == len(before) + 1
    (board / "hwmon3" / "curr1_input").write_text("off\n")
    with pytest.raises(SensorError, match="says 'off'"):
        Rails.find("ina3221/VDD_IN", board)
    _until_ended(len(before))


def _until_ended(count: int) -> None:
    """The thread ends with the file that it reads."""
    end = time.monotonic() + 30
    while len(sampling()) > count:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_power_of_the_chosen_rails_is_summed_up(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rails = still(board, "ina3221/VDD_IN,VDD_CPU", monkeypatch)
    assert rails.name == "hwmon ina3221, VDD_IN, VDD_CPU"
    before = rails.read()
    (board / "hwmon3" / "curr1_input").write_text("2000\n")
    rails.clock = lambda: 2.0
    # From 7 W to 12 W in two seconds.
    assert rails.joules(before, rails.read()) == pytest.approx(19.0)
    other = still(board, "ina226/power1", monkeypatch)
    before, other.clock = other.read(), lambda: 2.0
    (board / "hwmon4" / "power1_input").write_text("3500000\n")
    assert other.joules(before, other.read()) == pytest.approx(6.0)


def test_rails_are_sampled_all_the_time_and_stand_never_still(board: Path, tmp_path: Path) -> None:
    rails = Rails.find("ina3221/VDD_IN", board)
    before, start = rails.read(), time.monotonic()
    while time.monotonic() - start < 0.2:
        # As the kernel does it, a file is never half there.
        (tmp_path / "new").write_text(f"{1000 + int(1e4 * time.monotonic()) % 7}\n")
        (tmp_path / "new").replace(board / "hwmon3" / "curr1_input")
    found, lasted = rails.joules(before, rails.read()), time.monotonic() - start
    assert found == pytest.approx(5.0 * lasted, rel=0.1)
    now = rails.read()
    with pytest.raises(SensorError, match="did not change: its reading is stale"):
        rails.joules(now, rails.read())
    (tmp_path / "new").write_text("off\n")
    (tmp_path / "new").replace(board / "hwmon3" / "curr1_input")
    with pytest.raises(SensorError, match="says 'off', which is no number of mA"):
        rails.read()


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("ina3", r"no chip 'ina3' under .*: there are ina226, ina3221"),
        ("ina3221", r"has the rails VDD_CPU, VDD_IN, not '': name those to sum up, as hwmon:ina3221/VDD_CPU"),
        ("ina3221/VDD_GPU", r"has the rails VDD_CPU, VDD_IN, not 'VDD_GPU'"),
    ],
)
def test_a_rail_that_is_not_there_is_answered_with_those_that_are(board: Path, chosen: str, said: str) -> None:
    with pytest.raises(SensorError, match=said):
        Rails.find(chosen, board)
    with pytest.raises(SensorError, match="no chip"):
        sensor_at(f"hwmon:no-{chosen}", "/nowhere")


@pytest.mark.parametrize(
    "address", ["http://[fe80::abcd", "http://a b/metrics", "http://host:x/metrics", "ftp://host/m"]
)
def test_an_address_that_is_none_is_said_to_be_none(address: str) -> None:
    with pytest.raises(NoPageError, match="is no address"):
        page(address, 0.4)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("http://[::1]/m", "::1", 80),
        ("https://[fe80::abcd]/m", "fe80::abcd", 443),
        ("http://[::1]:9100/m", "::1", 9100),
    ],
)
def test_an_address_of_ipv6_leads_where_it_says(address: str, host: str, port: int) -> None:
    connection, _ = _connection(address, 0.4)
    assert (connection.host, connection.port) == (host, port)
