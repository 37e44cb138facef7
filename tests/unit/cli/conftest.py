"""The verbs over a bloc in one process: what they say stands in its log, and what they show is its state."""

import json
import tempfile
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from serai.agent.session import Session
from serai.cli.main import main
from serai.storage.record_files import write_record
from serai.testing.federation import Federation

MEMORY = Path("/dev/shm")
ROWS = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 1.0], [5.0, 0.0], [6.0, 1.0], [7.0, 0.0]]
DOCUMENTS = "One day.\n\nAnother day.\n\nA third.\n\nThe last."


class Desk:
    """Members at their terminals."""

    def __init__(self, bloc):
        self.bloc = bloc

    def run(self, member, *arguments):
        home = str(self.bloc.folder / member)
        return CliRunner().invoke(
            main, [str(part) for part in arguments], env={"SERAI_HOME": home}, catch_exceptions=False
        )

    def told(self, member, *arguments):
        done = self.run(member, *arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, member, *arguments):
        return json.loads(self.told(member, *arguments, "--json"))

    def refused(self, member, *arguments):
        done = self.run(member, *arguments)
        assert done.exit_code == 1, done.output
        return done.stderr

    @property
    def state(self):
        return self.bloc.state


@pytest.fixture
def desk(monkeypatch):
    yield from desks(monkeypatch, ROWS)


@pytest.fixture
def text_desk(monkeypatch):
    """Members whose datasets are texts."""
    yield from desks(monkeypatch, DOCUMENTS)


def desks(monkeypatch, rows):
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as home:
        bloc = Federation(Path(home), dict.fromkeys(("bern", "lima", "oslo"), rows))
        bloc.found()
        for member in bloc.members.values():
            write_record(member.zone.settings.home / "charter.json", bloc.charter)

        def session(settings):
            made = Session(settings)
            made.__dict__["center"] = bloc.center
            return made

        monkeypatch.setattr("serai.client.voice.Session", session)
        monkeypatch.setattr("serai.client.voice.load_settings", partial(settings_of, bloc))
        yield Desk(bloc)


def settings_of(bloc, home):
    return bloc.members[home.name].zone.settings
