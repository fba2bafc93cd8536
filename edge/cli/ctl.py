"""edge-ctl: asks a running station what it judges, and tells it: another product, another bundle."""

import getpass
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.channel.endpoints import VERDICTS
from edge.cli import new_app, run_app
from edge.cli.ctl_registry import pull, push
from edge.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.channel.control_messages import CandidateState, Operation, Reply, Request, Stage

app = new_app()

POLL_S = 0.2

Connect = Annotated[str, typer.Option(help="Verdict endpoint of the station; its control socket is one port above.")]
Keys = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Key file for this station with the role control, from edge-keys export."),
]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who asks, for the record. [default: your login]")]
Because = Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the record.")]
OfProduct = Annotated[
    str | None, typer.Option(metavar="NAME", help="Product whose bundle is meant. [default: current]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the station's answer as JSON.")]


@app.callback()
def ctl() -> None:
    """Ask a running station what it judges, and tell it what to judge."""


@app.command()
def product(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|NUMBER]", help="Product to change over to.")] = None,
    connect: Connect = VERDICTS,
    by: By = None,
    reason: Because = None,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """List the products of a station, or change over to one of them.

    Parts that are triggered or exposed from then on are judged as the new product; parts before are not affected.
    """
    from edge.channel.control_messages import AskSnapshot, SelectProduct

    if name is None:
        reply = _ask(connect, AskSnapshot(), keys)
        print(reply.model_dump_json() if as_json else _listed(reply))
        return
    wanted = {"number": name} if name.isdecimal() else {"product": name}
    reply = _ask(connect, _request(SelectProduct, wanted, by, reason), keys)
    said = json.loads(reply.model_dump_json())
    print(json.dumps(said) if as_json else f"product {said['product']}, before {said['before']}")


@app.command()
def load(
    bundle: Annotated[str, typer.Argument(metavar="NAME", help="Name of a bundle in the station's --candidates DIR.")],
    product: OfProduct = None,
    connect: Connect = VERDICTS,
    by: By = None,
    reason: Because = None,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Load a bundle as the candidate: it judges the same parts in the shadow, and decides nothing.

    Waits until the station has checked it: hashes, signature, golden frames on this machine.
    """
    from edge.channel.control_messages import LoadBundle, Stage

    request = _request(LoadBundle, {"bundle": bundle, "product": product}, by, reason)
    state = _until(lambda: _ask(connect, request, keys), connect, keys, Stage.LOADING, f"loading {bundle}", product)
    if state.stage is Stage.REFUSED:
        raise ConfigError(f"refused: {state.why}")
    _show(state, as_json)


@app.command()
def candidate(connect: Connect = VERDICTS, keys: Keys = None, as_json: AsJson = False) -> None:
    """Show the candidate: what it has judged, its flips, and which bundle decides."""
    from edge.channel.control_messages import AskCandidate

    _show(_state(_ask(connect, AskCandidate(), keys)), as_json)


@app.command()
def promote(
    flips: Annotated[int, typer.Option(min=0, help="Number of flips that you have looked at: all there are.")],
    product: OfProduct = None,
    connect: Connect = VERDICTS,
    by: By = None,
    reason: Because = None,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Let the candidate decide. The bundle before stays loaded, for edge-ctl rollback.

    Parts that are triggered or exposed from then on are judged by it; parts before are not affected.
    """
    from edge.channel.control_messages import Promote, Stage

    request = _request(Promote, {"flips": flips, "product": product}, by, reason)
    wanted = _state(_ask(connect, request, keys))
    state = _until(lambda: wanted, connect, keys, Stage.PROMOTING, "promoting", product)
    _check_decides(state, str(wanted.bundle))
    _show(state, as_json)


@app.command()
def rollback(
    product: OfProduct = None,
    connect: Connect = VERDICTS,
    by: By = None,
    reason: Because = None,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Let the bundle decide again that decided before the last promotion."""
    from edge.channel.control_messages import RollBack, Stage

    request = _request(RollBack, {"product": product}, by, reason)
    wanted = _state(_ask(connect, request, keys))
    state = _until(lambda: wanted, connect, keys, Stage.RETURNING, "rolling back", product)
    _check_decides(state, str(wanted.bundle) if wanted.stage is Stage.RETURNING else wanted.running)
    _show(state, as_json)


@app.command()
def unload(
    connect: Connect = VERDICTS, by: By = None, reason: Because = None, keys: Keys = None, as_json: AsJson = False
) -> None:
    """Give up the candidate."""
    from edge.channel.control_messages import Unload

    _show(_state(_ask(connect, _request(Unload, {}, by, reason), keys)), as_json)


@app.command()
def challenge(
    part: Annotated[str | None, typer.Option(metavar="ID", help="Id of the bad part. [default: the next part]")] = None,
    within_s: Annotated[float, typer.Option(metavar="S", help="Time until a controller has acknowledged it.")] = 60.0,
    show: Annotated[bool, typer.Option("--show", help="Bring none; show how the last challenges ended.")] = False,
    connect: Connect = VERDICTS,
    by: By = None,
    reason: Because = None,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Show that the line stops a bad part: a marked one comes now, and must be rejected at the gate.

    Exit code 1 unless it is; if the challenge failed, the station is suspended until somebody resumes it.
    """
    from edge.channel.control_messages import AskChallenge, ChallengePart, ChallengeStage, ChallengeState
    from edge.terminal.console import Console

    def asked(request: "Request") -> ChallengeState:
        reply = _ask(connect, request, keys)
        assert isinstance(reply, ChallengeState)
        return reply

    open_ones = (ChallengeStage.WAITING, ChallengeStage.JUDGED)
    if show:
        state = asked(AskChallenge())
    else:
        state = asked(_request(ChallengePart, {"part": part, "within_s": within_s}, by, reason))
        with Console(stderr=True).status("waiting for the bad part"):
            while state.stage in open_ones:
                time.sleep(POLL_S)
                state = asked(AskChallenge())
    if as_json:
        print(state.model_dump_json())
    else:
        print(f"{state.part or 'no part'}: {state.stage}" + (f", {state.why}" if state.why else ""))
        print(state.stored or "no stored picture was judged")
    sys.exit(0 if show or state.stage is ChallengeStage.PASSED else 1)


app.command()(pull)
app.command()(push)


def _request(kind: "type[Operation]", said: dict[str, Any], by: str | None, reason: str | None) -> "Operation":
    """A request by name. Raises ConfigError that names the value that is not possible."""
    from pydantic import ValidationError

    from edge.validation import first_problem, problem, shown

    try:
        return kind.model_validate(said | {"by": by or getpass.getuser(), "reason": reason})
    except ValidationError as error:
        first = first_problem(error)
        raise ConfigError(f"{first['loc'][0]} {shown(first['input'])}: {problem(first)}") from error


def _check_decides(state: "CandidateState", wanted: str) -> None:
    """Raise ConfigError unless the bundle with this label decides: it was refused, or the station started anew."""
    if state.running != wanted:
        raise ConfigError(f"refused: {state.why or 'the station was started anew'}; {state.running} still decides")


def _until(
    begin: "Callable[[], Reply]", connect: str, keys: Path | None, stage: "Stage", what: str, product: str | None = None
) -> "CandidateState":
    """Begin something, and wait until the candidate's stage is another than `stage`. Raises ChannelError."""
    from edge.channel.control_messages import AskCandidate
    from edge.terminal.console import Console

    with Console(stderr=True).status(what):
        state = _state(begin())
        while state.stage is stage:
            time.sleep(POLL_S)
            state = _state(_ask(connect, AskCandidate(product=product), keys))
    return state


def _state(reply: "Reply") -> "CandidateState":
    from edge.channel.control_messages import CandidateState

    assert isinstance(reply, CandidateState)
    return reply


def _show(state: "CandidateState", as_json: bool) -> None:
    from edge.channel.control_messages import Stage

    if as_json:
        print(state.model_dump_json())
        return
    print(f"decides: {state.running}" + (f", before: {state.previous}" if state.previous else ""))
    if state.rolled_back is not None:
        print(state.rolled_back)
    if state.stage is Stage.NONE:
        return
    print(f"candidate: {state.bundle}, {state.stage}" + (f": {state.why}" if state.why else ""))
    if state.stage is Stage.JUDGING:
        times = "" if state.p50_ms is None else f"; p50 {state.p50_ms:.1f}, p99 {state.p99_ms:.1f} ms"
        print(f"judged: {state.judged} parts of {state.needs}, skipped {state.skipped}{times}")
        print(f"flips: {state.to_reject} from good to reject, {state.to_good} from reject to good")
        if state.faults:
            print(f"failed: {state.faults} parts")


def _ask(connect: str, request: "Request", keys: Path | None) -> "Reply":
    """The station's answer. Raises ChannelError."""
    from edge.channel.asking import ask
    from edge.channel.client_security import read_client_keys
    from edge.channel.endpoints import CONTROL, neighbour_endpoint

    return ask(neighbour_endpoint(connect, CONTROL), request, None if keys is None else read_client_keys(keys))


def _listed(reply: "Reply") -> str:
    """The products of a snapshot, a line each."""
    from edge.channel.control_messages import Snapshot

    assert isinstance(reply, Snapshot)
    current = reply.heartbeat.product
    lines = []
    for one in reply.products:
        mark = "*" if one.name == current else " "
        number = "" if one.number is None else f"  number {one.number}"
        lines.append(f"{mark} {one.name}{number}  {one.bundle}{'' if one.is_up else '  (its model is not up)'}")
    return "\n".join(lines) or "the line makes one product"


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
