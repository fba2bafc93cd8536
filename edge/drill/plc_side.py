"""The side of a PLC in the drill: edge-plc as a process, a model PLC that polls it, and a network between them."""

import contextlib
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from edge.channel.endpoints import free_endpoint
from edge.drill.model_plc import ModelPlc, Result
from edge.drill.proxy import Proxy
from edge.drill.scene import STATION, Scene, die_with_parent
from edge.gate import TRANSIT_MS
from edge.plc.handshake import HOLD_MS
from edge.records.journal import open_to_read
from edge.records.selection import Selection
from edge.records.stored_verdicts import select
from edge.verdict import Outcome, Verdict

PATIENCE_S = 10.0


class PlcSide:
    """Runs while the context is open, on the station of a scene. The parts are numbered by order."""

    def __init__(self, scene: Scene) -> None:
        """The scene must run; the log of edge-plc goes into its folder."""
        self.log = scene.folder / "plc.jsonl"
        self._scene, self._output = scene, scene.folder / "edge-plc.log"
        self._endpoint = free_endpoint()
        self._closing = ExitStack()

    def __enter__(self) -> "PlcSide":
        with ExitStack() as undo:
            self.network = undo.enter_context(Proxy(self._endpoint))
            undo.callback(self.stop)
            self.start()
            self.plc = ModelPlc(int(self.network.endpoint.rpartition(":")[2]))
            undo.callback(self.plc.close)
            self.plc.start()
            self._closing = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def start(self) -> None:
        """Start edge-plc, with the same log and port each time."""
        verdicts, control, _ = self._scene.endpoints
        options = ["--connect", verdicts, "--control", control, "--station", STATION, "--insecure", "--allow-simulated"]
        options += ["--modbus", self._endpoint.removeprefix("tcp://"), "--log", str(self.log)]
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "edge.cli.plc", *options],
                stdout=subprocess.DEVNULL, stderr=output, start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip

    def stop(self) -> None:
        """Stop edge-plc in order, also if it is suspended, and kill it after 10 s."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE_S)
        self.process.kill()
        self.process.wait()

    def last_words(self) -> str:
        """The last line that edge-plc wrote to standard error."""
        lines = self._output.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"

    # -------------------------------------------------------------------------------------------------- what was seen

    def noticed(self, after_ns: int, lease_ns: int) -> int | None:
        """When, after `after_ns`, the PLC could first tell that something was wrong. The lease is in the PLC's rule.

        On a busy machine the output Fault may have become true before, and stay true through the fault of the drill.
        """
        last_ns = self.plc.troubled_ns
        first_ns = next((at_ns for at_ns in list(self.plc.troubles) if at_ns > after_ns), last_ns)
        return first_ns if first_ns > after_ns else None

    def judged(self, after_ns: int) -> int | None:
        """When the PLC saw the first result after `after_ns` that is an in-time good or reject."""
        found = (result.at_ns for result in list(self.plc.results) if result.asked_ns > after_ns and result.is_judged)
        return next(found, None)

    def passes(self, after_ns: int, count: int = 1) -> int | None:
        """When the PLC had seen `count` pass bits after `after_ns`; None if it has not."""
        moments = [result.at_ns for result in list(self.plc.results) if result.passes and result.asked_ns > after_ns]
        return moments[count - 1] if len(moments) >= count else None


def escaped(records: Path, results: list[Result]) -> list[Result]:
    """The pass bits that the PLC saw and that the journal does not justify.

    A pass bit needs an in-time final good with its number in its run of the station, and may stand until the end of the
    part's budget and the hold of edge-plc, with the transit's tolerance of the two clocks.
    """
    goods = _goods(records)
    late_ns = int((HOLD_MS + TRANSIT_MS) * 1e6)
    found = []
    for result in (one for one in results if one.passes):
        good = goods.get((result.epoch, result.number))
        if good is None or result.asked_ns > good.timing.captured + int(good.budget_ms * 1e6) + late_ns:
            found.append(result)
    return found


def _goods(records: Path) -> dict[tuple[int, int], Verdict]:
    """The in-time final goods of the journal by the PLC's form of their epoch, and number."""
    with contextlib.closing(open_to_read(records)) as journal:
        goods = [stored.verdict for stored in select(journal, Selection(outcome=Outcome.GOOD))]
    return {(int(good.epoch[:8], 16), good.seq): good for good in goods}
