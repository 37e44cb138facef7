"""The command ``serai``: finds the verb, runs it, and says every error in one plain sentence."""

import importlib
from collections.abc import Mapping
from typing import Any, Final

import click

import serai
from serai.errors import SeraiError
from serai.kernel.visible import visible_text

_GROUPS: Final[Mapping[str, tuple[Mapping[str, str], str]]] = {
    "center": (
        {
            "init": "serai.cli.verbs.center:init",
            "start": "serai.cli.verbs.center:start",
            "adopt": "serai.cli.verbs.handover:adopt",
        },
        "Found and run a center, which orders what members say.",
    ),
    "charter": (
        {"simulate": "serai.cli.verbs.charter:simulate"},
        "Try what other rules would make of the members' votes.",
    ),
    "plan": (
        {
            **{
                verb: f"serai.cli.verbs.plan:{verb}"
                for verb in ("show", "add", "report", "decide", "snapshot", "export", "fairness")
            },
            "object": "serai.cli.verbs.plan:object_",
        },
        "Plan together, report, and see what became of it.",
    ),
    "project": (
        {
            "open": "serai.cli.verbs.project:open_",
            "list": "serai.cli.verbs.project:list_",
            **{
                verb: f"serai.cli.verbs.project:{verb}"
                for verb in (
                    *("show", "back", "advance", "declare", "review", "reveal"),
                    *("hold", "lift", "benefit"),
                )
            },
            **{verb: f"serai.cli.verbs.documents:{verb}" for verb in ("draft", "compare", "merge", "clean")},
        },
        "Take a joint project from a need to the close.",
    ),
    "zone": (
        {
            verb: f"serai.cli.verbs.zone:{verb}"
            for verb in ("init", "join", "start", "offer", "grant", "withdraw", "stop", "resume")
        }
        | {verb: f"serai.cli.verbs.handover:{verb}" for verb in ("appoint", "follow")}
        | {verb: f"serai.cli.verbs.freezes:{verb}" for verb in ("freeze", "thaw", "frozen")}
        | {"airlock": "serai.cli.verbs.airlock:airlock", "uses": "serai.cli.verbs.uses:uses"},
        "Make and run a member's own zone, where its data stays.",
    ),
    "catalog": (
        {
            "list": "serai.cli.verbs.catalog:list_",
            "search": "serai.cli.verbs.catalog:search_",
            **{verb: f"serai.cli.verbs.catalog:{verb}" for verb in ("show", "export")},
        },
        "See and search what members offer, and write it for other catalogs.",
    ),
    "stats": (
        {
            verb: f"serai.cli.verbs.stats:{verb}"
            for verb in (
                *("columns", "describe", "quantiles", "crosstab", "linear", "logistic", "survival", "cox"),
                *("pca", "kmeans"),
            )
        },
        "Joint statistics of rows that stay at home.",
    ),
    "data": (
        {verb: f"serai.cli.verbs.data:{verb}" for verb in ("show", "match", "mock")},
        "Look at one's own data, see whether everybody's fit together, make mock rows.",
    ),
    "policy": (
        {verb: f"serai.cli.verbs.policy:{verb}" for verb in ("show", "test", "template")},
        "See what a zone's policy adds up to, and test it against example jobs.",
    ),
    "keys": (
        {
            **{
                verb: f"serai.cli.verbs.keys:{verb}"
                for verb in ("new", "request", "sign", "submit", "message", "attach", "disputed", "check")
            },
            "list": "serai.cli.verbs.keys:list_",
        },
        "Make, replace and revoke keys, and sign what only a root key may say.",
    ),
    "recipe": (
        {verb: f"serai.cli.verbs.recipe:{verb}" for verb in ("pack", "approve", "base", "adapters")},
        "Pack one's own recipe, let somebody's run at home, name a base model, take adapters out.",
    ),
}

_VERBS: Final[Mapping[str, str]] = {
    "propose": "serai.cli.verbs.decide:propose",
    "vote": "serai.cli.verbs.decide:vote",
    "sign": "serai.cli.verbs.decide:sign",
    "withdraw": "serai.cli.verbs.decide:withdraw",
    "review": "serai.cli.verbs.decide:review",
    "approve": "serai.cli.verbs.decide:approve",
    "run": "serai.cli.verbs.train:run",
    "input": "serai.cli.verbs.train:input_",
    "release": "serai.cli.verbs.train:release",
    "evaluate": "serai.cli.verbs.evaluate:evaluate",
    "evaluations": "serai.cli.verbs.evaluate:evaluations",
    "leaderboard": "serai.cli.verbs.evaluate:leaderboard",
    "watch": "serai.cli.verbs.watch:watch",
    "explain": "serai.cli.verbs.look:explain",
    "audit": "serai.cli.verbs.look:audit",
    "demo": "serai.cli.verbs.demo:demo",
    "completion": "serai.cli.verbs.completion:completion",
}


class VerbGroup(click.Group):
    """A group whose verbs are imported when they are called, so that each starts fast.

    Args:
        places: ``module:name`` of each verb, by the name people type.
        default: the verb that is meant where none is named; "" for none.

    """

    def __init__(self, name: str, places: Mapping[str, str], *, default: str = "", **settings: Any) -> None:
        super().__init__(name, no_args_is_help=not default, **settings)
        self._places = places
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default verb before options that name none."""
        is_verb = bool(args) and (args[0] in self.list_commands(ctx) or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if is_verb or not self._default else [self._default, *args])

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of a first day's work."""
        return [*super().list_commands(ctx), *self._places]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb."""
        place = self._places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, name = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


class _Main(VerbGroup):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SeraiError as error:
            raise _Told(error) from error


class _Told(click.ClickException):
    """A serai error as the terminal shows it: the sentence, then the code to look up; it may quote other members."""

    def __init__(self, error: SeraiError) -> None:
        super().__init__(f"{visible_text(error.message)}\n  ({error.family}: {error.code}; docs/errors.md says more)")


main = _Main(
    "serai",
    _VERBS,
    help="An AI cooperation center that no member has to trust.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
main.add_command(
    VerbGroup(
        "log",
        {"show": "serai.cli.verbs.look:log"}
        | {
            verb: f"serai.cli.verbs.ledger:{verb}"
            for verb in ("bundle", "take", "proof", "verify", "policy", "evidence", "withheld", "receipts")
        }
        | {"exit": "serai.cli.verbs.ledger:exit_"},
        help="Show the log, carry it by hand, prove what is in it.",
        default="show",
    )
)
main = click.version_option(serai.__version__, prog_name="serai", message="%(prog)s %(version)s")(main)
for _name, (_places, _help) in _GROUPS.items():
    main.add_command(VerbGroup(_name, _places, help=_help))
