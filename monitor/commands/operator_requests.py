"""`barograph accept`, `mute` and `unmute`: what an operator asks of the running daemon."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from monitor.clock import Clock, SystemClock
from monitor.commands.options import FIRST_FOUND, ConfigFile, chosen_watches
from monitor.errors import ConfigError, HistoryError, MonitorError
from monitor.text import printable

if TYPE_CHECKING:
    from monitor.alerting.mutes import OperatorAction, OperatorRequest, RequestKind
    from monitor.config.schema import Config
    from monitor.storage.alert_history import StoredEpisode
    from monitor.storage.data_dir import DataDir
    from monitor.storage.request_folder import RequestFolder

__all__ = ["accept", "answer_to", "chosen_episode", "mute", "operator", "unmute"]

_WAIT_SECONDS = 10.0  # the daemon takes a request between two batches: within a second, unless it is behind
_POLL_SECONDS = 0.1
_N_NAMED = 10  # open episodes in an error

Why = Annotated[str, typer.Option("--why", help="The reason, for the alert history.")]


def accept(
    episode: Annotated[
        str, typer.Argument(help="Number or identity of an open episode, or WATCH/ENTITY of it.")
    ],
    why: Why = "",
    config: ConfigFile = FIRST_FOUND,
) -> None:
    """Accept an open episode as normal: it ends, and its entity is judged around what it shows now.

    The running daemon does it within a second. `barograph episodes` shows the numbers, and later who accepted
    what, and why.

    Example: barograph accept 17 --why "more traffic since the release"
    """
    from monitor.storage.alert_history import read_episodes

    _, data_dir = _load(config)
    chosen = chosen_episode(read_episodes(data_dir.episodes_file), episode)
    from monitor.alerting.mutes import OperatorRequest

    clock = SystemClock()
    _ask(
        OperatorRequest(
            id=uuid4().hex,
            kind="accept",
            watch=chosen.watch,
            entity=chosen.entity,
            who=operator(),
            why=printable(why),
            asked_at=clock.now(),
            episode=chosen.identity,
        ),
        data_dir,
        clock,
    )


def mute(
    entity: Annotated[str, typer.Argument(help="WATCH/ENTITY; without it, list what is muted.")] = "",
    duration: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")] = "",
    why: Why = "",
    config: ConfigFile = FIRST_FOUND,
) -> None:
    """Notify nobody of an entity's episodes for a time, or list what is muted.

    The entity is judged as ever, and its episodes are stored, marked as muted. One that is still open when
    the time is over is notified then. A restart changes nothing.

    Example: barograph mute host/web1 --for 2h --why "disk is being replaced"
    """
    from monitor.config.times import parse_duration

    settings, data_dir = _load(config)
    if not entity:
        _list_mutes(data_dir)
        return
    if not duration:
        raise ConfigError("--for: found nothing, expected how long to mute, as in --for 2h")
    clock = SystemClock()
    until = clock.now() + parse_duration(duration, "--for")
    _ask(_of_entity("mute", settings, entity, config, why=why, now=clock.now(), until=until), data_dir, clock)


def unmute(
    entity: Annotated[str, typer.Argument(help="WATCH/ENTITY.")],
    why: Why = "",
    config: ConfigFile = FIRST_FOUND,
) -> None:
    """Notify of an entity's episodes again; of one that is open, at once.

    Example: barograph unmute host/web1
    """
    settings, data_dir = _load(config)
    clock = SystemClock()
    _ask(_of_entity("unmute", settings, entity, config, why=why, now=clock.now()), data_dir, clock)


def operator() -> str:
    """Name the user of the operating system who asks, and through whom where that is another one."""
    import pwd

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user has no name
        name = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{behind} (as {name})" if behind and behind != name else name


def chosen_episode(stored: Sequence[StoredEpisode], name: str) -> StoredEpisode:
    """Find the open episode with a number, an identity, or a watch and entity.

    Raises
    ------
    MonitorError
        If none is open under that name; the text names those that are.
    """
    still_open = [episode for episode in stored if episode.reason is None]
    for episode in still_open:
        if name in (str(episode.number), episode.identity, f"{episode.watch}/{episode.entity}"):
            return episode
    named = ", ".join(
        f"{episode.number} ({episode.watch}/{episode.entity})" for episode in still_open[-_N_NAMED:]
    )
    raise MonitorError(f"no open episode is {name}; open are: {named or 'none'}")


def answer_to(
    request: OperatorRequest,
    folder: RequestFolder,
    actions: Callable[[], Sequence[OperatorAction]],
    clock: Clock,
) -> str:
    """Hand a request to the daemon and wait for what becomes of it.

    Raises
    ------
    MonitorError
        If the daemon refuses it, or does not take it.
    """
    folder.submit(request)
    started, stop = clock.monotonic(), threading.Event()
    while clock.monotonic() - started < _WAIT_SECONDS:
        for action in actions():
            if action.request.id == request.id:
                if not action.done:
                    raise MonitorError(f"{request.kind} {request.watch}/{request.entity}: {action.result}")
                return action.result
        clock.wait(stop, _POLL_SECONDS)
    raise MonitorError(
        f"the request was not taken within {_WAIT_SECONDS:.0f} s: no daemon runs with this data_dir, or it "
        "is behind. It is done as soon as one takes it."
    )


def _load(config: Path) -> tuple[Config, DataDir]:
    from monitor.config.load import load_config
    from monitor.storage.data_dir import DataDir

    settings = load_config(config, environ=os.environ)
    return settings, DataDir(settings.data_dir)


def _of_entity(
    kind: RequestKind,
    settings: Config,
    name: str,
    config: Path,
    *,
    why: str,
    now: float,
    until: float | None = None,
) -> OperatorRequest:
    from monitor.alerting.mutes import OperatorRequest

    watch, slash, entity = name.partition("/")
    if not slash or not entity:
        raise ConfigError(f"found {name!r}, expected WATCH/ENTITY, as in host/web1")
    chosen_watches(settings, [watch], config)
    return OperatorRequest(
        id=uuid4().hex,
        kind=kind,
        watch=watch,
        entity=entity,
        who=operator(),
        why=printable(why),
        asked_at=now,
        until=until,
    )


def _ask(request: OperatorRequest, data_dir: DataDir, clock: Clock) -> None:
    from monitor.storage.request_folder import RequestFolder

    folder = RequestFolder(data_dir.requests_folder)
    result = answer_to(request, folder, lambda: _actions(data_dir), clock)
    print(f"{request.watch}/{request.entity}: {result}")


def _actions(data_dir: DataDir) -> list[OperatorAction]:
    from monitor.storage.alert_history import read_actions

    if not data_dir.episodes_file.is_file():
        return []  # the daemon makes it with the first thing that it stores
    return read_actions(data_dir.episodes_file)


def _list_mutes(data_dir: DataDir) -> None:
    from monitor.alerting.mutes import Mutes

    try:
        actions = _actions(data_dir)
    except HistoryError as error:
        raise MonitorError(f"cannot tell what is muted: {error}") from error
    mutes = Mutes(action.request for action in actions if action.done).active(SystemClock().now())
    if not mutes:
        print("nothing is muted", file=sys.stderr)
        return
    from monitor.commands.console import out
    from monitor.commands.tables import mutes_table

    out.print(mutes_table(mutes))
