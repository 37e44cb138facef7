"""``serai completion``: the script that teaches a shell to complete verbs and options."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash:  serai completion bash > ~/.local/share/bash-completion/completions/serai
    zsh:   serai completion zsh > "${fpath[1]}/_serai"
    fish:  serai completion fish > ~/.config/fish/completions/serai.fish
    """  # noqa: D301 - click reads \b as "keep these lines"
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "serai", "_SERAI_COMPLETE").source())
