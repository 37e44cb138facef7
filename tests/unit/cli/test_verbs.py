"""Every verb explains itself, and every error says what to do."""

import json

import click
import pytest
from click.testing import CliRunner

from serai.cli.main import main
from serai.recipes.base_model import open_base_model
from serai.testing.tiny_model import write_tiny_model


def serai(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


def verbs(command=main, path=()):
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from verbs(command.get_command(context, name), (*path, name))
    else:
        yield path, command


def test_the_verbs_of_a_first_day_are_all_there():
    assert {" ".join(path) for path, _ in verbs()} == {
        *("center init", "center start", "center adopt"),
        *(
            f"zone {verb}"
            for verb in ("init", "join", "start", "offer", "grant", "withdraw", "stop", "resume", "appoint", "follow")
        ),
        *(f"zone {verb}" for verb in ("freeze", "thaw", "frozen", "uses")),
        *(f"zone airlock {verb}" for verb in ("list", "show", "release", "reject")),
        *(f"keys {verb}" for verb in ("new", "sign", "submit", "message", "attach", "list", "disputed", "check")),
        *(f"keys request {what}" for what in ("rotate", "revoke", "object", "adopt", "accede", "leave")),
        *(f"recipe {verb}" for verb in ("pack", "approve", "base", "adapters")),
        "charter simulate",
        *(f"project {verb}" for verb in ("open", "list", "show", "back", "advance", "declare", "review", "reveal")),
        *(f"project {verb}" for verb in ("hold", "lift", "benefit", "draft", "compare", "merge", "clean")),
        *(f"plan {verb}" for verb in ("show", "add", "report", "object", "decide", "snapshot", "export", "fairness")),
        *(f"catalog {verb}" for verb in ("list", "search", "show", "export")),
        *(f"policy {verb}" for verb in ("show", "test", "template")),
        *(f"data {verb}" for verb in ("show", "match", "mock")),
        *(f"stats {verb}" for verb in ("columns", "describe", "quantiles", "crosstab", "linear", "logistic")),
        *(f"stats {verb}" for verb in ("survival", "cox", "pca", "kmeans")),
        *(
            "propose",
            "vote",
            "sign",
            "withdraw",
            "review",
            "approve",
            "run",
            "input",
            "release",
            "evaluate",
            "evaluations",
            "leaderboard",
            "watch",
            "log show",
            *(f"log {verb}" for verb in ("bundle", "take", "proof", "verify", "policy", "evidence", "exit")),
            *(f"log {verb}" for verb in ("withheld", "receipts")),
            "explain",
            "audit",
            "demo",
            "completion",
        ),
    }


@pytest.mark.parametrize("path", [path for path, _ in verbs()], ids=" ".join)
def test_a_verb_and_each_of_its_options_has_words_of_help(path):
    done = serai(*path, "--help")
    assert done.exit_code == 0
    command = dict(verbs())[path]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_learns_to_complete(shell):
    assert "_SERAI_COMPLETE" in serai("completion", shell).stdout


def test_completion_knows_the_verbs():
    done = CliRunner().invoke(
        main, prog_name="serai", env={"_SERAI_COMPLETE": "bash_complete", "COMP_WORDS": "serai zo", "COMP_CWORD": "1"}
    )
    assert "zone" in done.stdout


def test_the_version_is_said():
    assert serai("--version").stdout.startswith("serai ")


def test_an_error_says_its_sentence_and_its_code(tmp_path):
    done = serai("zone", "offer", "--home", tmp_path / "none", "heart")
    assert done.exit_code == 1
    assert "serai zone init" in done.stderr
    assert "(misconfigured: settings-file-missing; docs/errors.md says more)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", [("vote", "abcdef", "yes"), ("log",), ("explain", "abcdef")], ids=lambda verb: verb[0])
def test_a_zone_that_has_not_joined_says_how_to(tmp_path, verb):
    serai("zone", "init", "--home", tmp_path / "z", "--member", "bern", "--name", "Bern", "--jurisdiction", "CH")
    done = serai(verb[0], "--home", tmp_path / "z", *verb[1:])
    assert done.exit_code == 1
    assert "serai zone join" in done.stderr


def test_the_kill_switch_is_pulled_and_released(tmp_path):
    home = tmp_path / "z"
    serai("zone", "init", "--home", home, "--member", "bern", "--name", "Bern", "--jurisdiction", "CH")
    assert json.loads(serai("zone", "stop", "--home", home, "--json").stdout) == {"stopped": True}
    assert (home / "STOP").exists()
    serai("zone", "resume", "--home", home)
    assert not (home / "STOP").exists()


def test_a_center_is_founded_from_the_command_line(tmp_path):
    files = []
    for member in ("bern", "ghent", "lima", "oslo"):
        done = serai(
            *("zone", "init", "--home", tmp_path / member, "--member", member, "--name", member),
            *("--jurisdiction", "XX", "--json"),
        )
        files += ["--member", json.loads(done.stdout)["record"]]
    common = ("center", "init", "--home", tmp_path / "center", "--name", "Test", "--origin", "test.example/log", *files)
    done = serai(*common, "--preset", "eurohpc", *weights("votes", bern=4, ghent=3, lima=2, oslo=1), "--json")
    assert done.exit_code == 0
    charter = json.loads((tmp_path / "center" / "charter.json").read_text())
    assert charter["weights"] == {"votes": {"bern": 4, "ghent": 3, "lima": 2, "oslo": 1}}
    assert len(json.loads(done.stdout)["genesis"]) == 64


def test_a_base_model_is_named_with_the_layers_that_can_have_adapters(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    done = json.loads(serai("recipe", "base", folder, "--json").stdout)
    assert done["digest"] == open_base_model(folder).digest
    assert {"q_proj", "down_proj"} <= set(done["layers"])


def weights(table, **numbers):
    return [part for member, number in numbers.items() for part in ("--weight", f"{table}:{member}={number}")]


def test_a_weight_of_another_form_is_named(tmp_path):
    serai("zone", "init", "--home", tmp_path / "z", "--member", "bern", "--name", "Bern", "--jurisdiction", "CH")
    done = serai(
        *("center", "init", "--home", tmp_path / "c", "--name", "x", "--origin", "x"),
        *("--member", tmp_path / "z" / "member.json", "--weight", "votes=4"),
    )
    assert done.exit_code == 1
    assert "expected TABLE:MEMBER=N, such as votes:bern=4, got 'votes=4'" in done.stderr


@pytest.mark.parametrize("verb", ["log", "audit"])
def test_looking_needs_a_place_to_look_at(verb):
    done = serai(verb)
    assert done.exit_code == 1
    assert "--home" in done.stderr


def test_a_center_that_does_not_answer_is_named():
    done = serai("log", "--center", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "no center answers at http://127.0.0.1:9" in done.stderr
