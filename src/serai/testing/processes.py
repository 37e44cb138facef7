"""A bloc of real processes on loopback, for tests that kill and for benchmarks that measure.

    with ProcessBloc(folder, {"bern": rows, "lima": rows}) as bloc:
        run = bloc.train(bloc.agree(), "newton", rounds=5, params={"features": "3"})
        bloc.wait_for_model(run)

``kill`` is SIGKILL; ``freeze`` holds a process where it is, so that a test can
look at the log before it kills. Every process is started and ended by its id;
nothing outlives the ``with``.
"""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar, Final, Self

import numpy as np

from serai.agent.datasets import described_columns
from serai.agent.session import Session
from serai.agent.settings import load_settings
from serai.agent.vault import Vault
from serai.aggregation.codec import Decoder, Encoder
from serai.aggregation.state import final_model
from serai.charter.decision import Choice
from serai.charter.statements import AgreementSign, Ballot, ProposalOpen
from serai.errors import Unavailable
from serai.kernel.envelope import parse_envelope
from serai.kernel.ids import Digest, MemberId
from serai.kernel.keys import Role
from serai.kernel.statement import Body
from serai.recipes.registry import build
from serai.state import Jobs, State
from serai.testing.documents import agreement_text, run_plan
from serai.training.methods import Context
from serai.training.statements import RunPlan
from serai.training.tensors import Model, digest_model, model_bytes
from serai.zones.statements import Grant, Offer

READY_S: Final = 30.0
ORIGIN: Final = "center.test/serai"
Rows = Sequence[Sequence[float]]


class ProcessBloc:
    """A center and one agent a member, each a process of its own.

    Args:
        folder: where they keep their files.
        data: each member's rows, the last number of each being the label; or each member's text.
        round_ms: how long rounds wait for a member that is away.

    Attributes:
        host: where the center listens.
        center_settings: lines of TOML that its ``center.toml`` has besides.
        center: the name of the present one; ``adopt`` puts another in its place.

    """

    host: ClassVar[str] = "127.0.0.1"
    center_settings: ClassVar[str] = ""

    def __init__(self, folder: Path, data: Mapping[str, Rows | str], round_ms: int = 120_000) -> None:
        self.folder = folder
        self.round_ms = round_ms
        self._data = data
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._sessions: dict[str, Session] = {}
        self.url = ""
        self.center = "center"

    def __enter__(self) -> Self:
        """Found the center and start everybody."""
        try:
            self._found()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End every process."""
        self.stop()

    @property
    def members(self) -> Sequence[str]:
        """The members, in order."""
        return list(self._data)

    def start(self, name: str) -> None:
        """Start the center, or a member's agent, and wait until it says that it is ready."""
        if name == self.center:
            port = self.url.rsplit(":", 1)[-1] if self.url else "0"
            command = ["center", "start", "--home", str(self.folder / name), "--port", port]
        else:
            command = ["zone", "start", "--home", str(self.folder / name)]
        with (self.folder / f"{name}.log").open("a", encoding="utf-8") as log:
            process = subprocess.Popen(  # noqa: S603  # our own program, with arguments from a test
                [*self.program(name), *command], stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._processes[name] = process
        assert process.stdout is not None
        with process.stdout:
            words = process.stdout.readline().split()
        if words[:1] != ["ready"]:
            raise Unavailable("process-not-ready", f"{name} did not start; see {self.folder / name}.log")
        if name == self.center:
            self.url = words[1]

    def adopt(self, name: str, member: str, signers: Sequence[str]) -> None:
        """Let a member raise a center in place of the one there was, and others appoint it; returns once it answers."""
        with socket.create_server((self.host, 0)) as trial:
            port = trial.getsockname()[1]
        command = ["center", "adopt", "--home", self._home(name), "--zone", self._home(member)]
        with (self.folder / f"{name}.log").open("a", encoding="utf-8") as log:
            process = subprocess.Popen(  # noqa: S603  # our own program, with arguments from a test
                [*self.program(self.center), *command, "--host", self.host, "--port", str(port)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._processes[name] = process
        self.center = name
        assert process.stdout is not None
        with process.stdout:
            self._expect(name, process.stdout, "appointment")
            url = f"http://{self.host}:{port}"
            with ThreadPoolExecutor(len(signers)) as pool:
                list(pool.map(lambda signer: self._appoint(signer, url), signers))
            self.url = self._expect(name, process.stdout, "ready")
        self.forget_sessions()  # they began with entries that may have been left out

    def _appoint(self, signer: str, url: str) -> None:
        _run([*self.program(signer), "zone", "appoint", url, "--home", self._home(signer)])

    def follow(self, member: str) -> None:
        """Tell a member that signed no appointment where the successor is."""
        _run([*self.program(member), "zone", "follow", self.url, "--home", self._home(member)])

    def forget_sessions(self) -> None:
        """Look anew at what the members' agents have."""
        self._sessions.clear()

    def _expect(self, name: str, lines: IO[str], word: str) -> str:
        for _ in range(1000):  # a process that ends has no more lines
            words = lines.readline().split()
            if words[:1] == [word]:
                return words[1]
            if not words:
                break
        raise Unavailable("process-not-ready", f"{name} did not say {word!r}; see {self.folder / name}.log")

    def program(self, name: str) -> list[str]:
        """How the center's or a member's processes are started; a subclass may put them elsewhere."""
        assert name == self.center or name in self._data
        return [sys.executable, "-m", "serai"]

    def center_url(self, _member: str) -> str:
        """Where a member finds the center."""
        return self.url

    def kill(self, name: str) -> None:
        """SIGKILL: no process gets to tidy up."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def freeze(self, name: str) -> None:
        """Hold a process where it is until ``thaw`` or ``kill``."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a frozen process go on."""
        self._processes[name].send_signal(signal.SIGCONT)

    def end(self, name: str) -> int:
        """Ask a process to end and wait for it, 10 s at most; its exit status."""
        process = self._processes[name]
        process.send_signal(signal.SIGTERM)
        status = process.wait(10)
        del self._processes[name]
        return status

    def said(self, name: str) -> str:
        """What a process has written to its log."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")

    def stop(self) -> None:
        """End every process: ask first, then insist."""
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def pid(self, name: str) -> int:
        """The process id of the center or of a member's agent."""
        return self._processes[name].pid

    def session(self, member: str) -> Session:
        """A member's own look at the center."""
        if member not in self._sessions:
            self._sessions[member] = Session(load_settings(self.folder / member))
        return self._sessions[member]

    def state(self) -> State:
        """What the log adds up to now."""
        return self.session(self.members[0]).state()

    def say(self, member: str, body: Body, role: Role = Role.DELEGATE) -> Digest:
        """Put a statement into the log; its id. It must have an effect."""
        session = self.session(member)
        index = session.say(body, role)
        state = session.state()
        assert index not in state.void, f"{body.KIND} is void: {state.void[index]}"
        return parse_envelope(session.entries(index, index + 1)[0]).id

    def agree(self) -> Digest:
        """Propose, vote, sign, offer and grant; the agreement's id."""
        text = agreement_text()
        first = self.members[0]
        proposal = self.say(
            first, ProposalOpen(topic="agreement", title="Joint work", text="Shall we?", agreement=text)
        )
        for member in self.members:
            self.say(member, Ballot(proposal=proposal, choice=Choice.YES))
        for member in self.members:
            self.say(member, AgreementSign(agreement=proposal))
            self._grant(member, proposal)
        return proposal

    def plan(
        self,
        agreement: Digest,
        recipe: str,
        rounds: int,
        params: Mapping[str, str],
        inputs: Mapping[str, Model] | None = None,
        **fields: Any,
    ) -> RunPlan:
        """A plan over everybody's data, not yet said; its inputs are at the center."""
        for model in (inputs or {}).values():
            self.session(self.members[0]).center.put_blob(digest_model(model), model_bytes(model))
        grants = self.state().zones.grants.values()
        offers = {str(grant.member): grant.body.offer for grant in grants if grant.body.agreement == agreement}
        return run_plan(
            agreement, offers, recipe, params, inputs, **{"rounds": rounds, "round_ms": self.round_ms, **fields}
        )

    def train(self, agreement: Digest, recipe: str, rounds: int, params: Mapping[str, str], **fields: Any) -> Digest:
        """Plan a run over everybody's data; its id."""
        return self.say(self.members[0], self.plan(agreement, recipe, rounds, params, **fields))

    def wait_for_model(self, run: Digest, timeout_s: float = 120.0) -> Digest:
        """The model that a run ends with.

        Raises:
            Unavailable: it has not ended in time.

        """
        models: list[Digest] = []

        def has_ended(state: State) -> bool:
            job = Jobs(state, state.now).get(run)
            model = None if job is None else final_model(state.rounds, job)
            models.extend([] if model is None else [model])
            return model is not None

        self.wait_until(has_ended, timeout_s)
        return models[-1]

    def model_of_rows(self, plan: RunPlan) -> Digest:
        """The model that the members' rows make, computed in this process without center, log or masks."""
        recipe = build(plan.recipe, plan.params, {})
        data = {member: Vault(load_settings(self.folder / member)).load("rows") for member in self.members}
        model = recipe.initial()
        for number in range(plan.rounds):
            lanes, total = plan.codec.ring.zeros(plan.length), np.empty(plan.length)
            for member, rows in data.items():
                context = Context(round=number, seed=b"", member=MemberId(member))
                plan.codec.ring.add(lanes, Encoder(plan.codec, recipe.contribute(model, rows, context)).chunk(0))
            Decoder(plan.codec, total).chunk(0, lanes)
            model = recipe.combine(model, total, len(data))
        return digest_model(model)

    def wait_until(self, is_reached: Callable[[State], bool], timeout_s: float = 30.0) -> State:
        """Follow the log until it adds up to what is waited for; the state then.

        Raises:
            Unavailable: it has not come to that in time.

        """
        session = self.session(self.members[0])
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            state = session.state()
            if is_reached(state):
                return state
            session.mirror.follow(session.center, state.size, 1.0)
        raise Unavailable("not-reached", f"not reached in {timeout_s} s; see the logs in {self.folder}")

    def _found(self) -> None:
        with ThreadPoolExecutor(len(self._data)) as pool:
            list(pool.map(self._make_zone, self._data))
        records = [argument for member in self._data for argument in ("--member", f"{self._home(member)}/member.json")]
        names = ["--name", "Bloc", "--origin", ORIGIN, "--host", self.host]
        _serai("center", "init", "--home", self._home("center"), *names, *records)
        with (self.folder / "center" / "center.toml").open("a", encoding="utf-8") as file:
            file.write(self.center_settings)
        self.start("center")
        with ThreadPoolExecutor(len(self._data)) as pool:
            list(pool.map(self._join, self._data))
            list(pool.map(self.start, self._data))

    def _make_zone(self, member: str) -> None:
        who = ["--member", member, "--name", member, "--jurisdiction", "XX"]
        _serai("zone", "init", "--home", self._home(member), *who)
        rows = self._data[member]
        dataset = self._write_text(member, rows) if isinstance(rows, str) else self._write_table(member, rows)
        with (self.folder / member / "zone.toml").open("a", encoding="utf-8") as file:
            file.write(f'\n[datasets.rows]\ntitle = "rows"\ntest_share = [1, 4]\n{dataset}')

    def _join(self, member: str) -> None:
        charter = f"{self._home('center')}/charter.json"
        where = ["--home", self._home(member), "--charter", charter, "--center", self.center_url(member)]
        _run([*self.program(member), "zone", "join", *where])

    def _grant(self, member: str, agreement: Digest) -> None:
        vault = Vault(load_settings(self.folder / member))
        offer = Offer(
            dataset=vault.digest("rows"),
            title=f"{member}'s rows",
            description="synthetic",
            rows=vault.rows("rows"),
            columns=described_columns(vault.settings_of("rows")),
            jurisdiction="XX",
            terms=(),
        )
        offered = self.say(member, offer, Role.STEWARD)
        self.say(member, Grant(offer=offered, agreement=agreement, terms=()), Role.STEWARD)

    def _home(self, name: str) -> str:
        return str(self.folder / name)

    def _write_text(self, member: str, text: str) -> str:
        path = self.folder / f"{member}.txt"
        path.write_text(text, encoding="utf-8")
        return f'kind = "text"\npath = "{path}"\n'

    def _write_table(self, member: str, rows: Rows) -> str:
        path, width = self.folder / f"{member}.csv", len(rows[0]) - 1
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([[*(f"x{number}" for number in range(width)), "label"], *rows])
        features = ", ".join(f'{{name = "x{n}", column = "x{n}", kind = "number"}}' for n in range(width))
        return f'path = "{path}"\nlabel = {{column = "label", above = 0}}\nfeatures = [{features}]\n'


def _serai(*arguments: str) -> None:
    _run([sys.executable, "-m", "serai", *arguments])


def _run(command: Sequence[str]) -> None:
    subprocess.run(  # noqa: S603  # our own program, with arguments from a test
        command, check=True, stdout=subprocess.DEVNULL, env={**os.environ}
    )
