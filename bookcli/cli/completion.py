"""`bookcli completion`: the script a shell loads, and the answers to what it then asks.

What must stay true: only the module of the command being typed is imported, and an error is never shown to the shell.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer
import typer.main
from typer.completion import completion_init  # type: ignore[attr-defined]  # not in its __all__

from .command import Desk, new_app, prepare, registered
from .output import write_lines

VARIABLE = "_BOOKCLI_COMPLETE"
_SCRIPTS = {
    "bash": """_bookcli() {
  local IFS=$'\\n'
  COMPREPLY=($(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \\
    _BOOKCLI_COMPLETE=complete_bash "$1" 2>/dev/null))
}
complete -o default -F _bookcli bookcli""",
    "zsh": """#compdef bookcli
_bookcli() {
  eval "$(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _BOOKCLI_COMPLETE=complete_zsh bookcli 2>/dev/null)"
}
compdef _bookcli bookcli""",
    "fish": "complete --command bookcli --no-files --arguments "
    '"(env _BOOKCLI_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args '
    '_TYPER_COMPLETE_ARGS=(commandline -cp) bookcli 2>/dev/null)" --condition '
    '"env _BOOKCLI_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=is-args '
    '_TYPER_COMPLETE_ARGS=(commandline -cp) bookcli 2>/dev/null"',
}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("completion")(completion)


def completion(
    desk: Desk, shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Your shell.")]
) -> None:
    """Print the completion script of a shell, to be loaded from its start-up file.

    \b
    Examples:
      eval "$(bookcli completion bash)"
      bookcli completion zsh > ~/.zfunc/_bookcli
      bookcli completion fish > ~/.config/fish/completions/bookcli.fish
    """
    write_lines(_SCRIPTS[shell].split("\n"))


def answer(commands: Mapping[str, Mapping[str, tuple[str, str]]]) -> int:
    """Answers the shell; what it asks is in the environment, what there is in the table of main.py."""
    known = {name: entry for group in commands.values() for name, entry in group.items()}
    typed = (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or "").split()
    try:
        completion_init()
        root = _root(known, typed[1] if len(typed) > 1 else "")
        root.main(args=[], prog_name="bookcli", complete_var=VARIABLE, standalone_mode=False)
    except SystemExit as end:
        return int(end.code or 0)
    except Exception:  # noqa: BLE001 - a shell has no place for an error
        return 0
    return 0


def _root(known: Mapping[str, tuple[str, str]], name: str) -> Any:
    """All commands by name; with its parameters only the one being typed."""
    root = new_app()
    if name in known:
        module = registered(known[name][0])
        root.registered_commands = [item for item in module.registered_commands if item.name == name]
        root.registered_groups = [item for item in module.registered_groups if item.name == name]
        prepare(root)
    else:
        for command, (_, text) in known.items():
            root.command(command, help=text)(_nothing)
    return typer.main.get_group(root)


def _nothing() -> None:
    """Stands for a command that is not being typed."""
