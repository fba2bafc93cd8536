"""Runs the function blocks of docs/plc: as much of Structured Text (IEC 61131-3) as they use, and what SCL and Studio
5000 write differently.
"""

import re
from typing import Any

_STATEMENT = re.compile(r"\s*(?:(?:IF|ELSIF)\b.*?\bTHEN\b|ELSE\b|FOR\b.*?\bDO\b|END_(?:IF|FOR);|[^;]+;)", re.S)
_DOUBLE = re.compile(r"SHL\(WORD_TO_UDINT\((\w+\[\d+\])\), 16\) OR WORD_TO_UDINT\((\w+\[\d+\])\)")
_WORDS = (
    (_DOUBLE, r"(\1 << 16 | \2)"),
    (re.compile(r"(WORD_TO_UINT|WORD_TO_UDINT|UINT_TO_WORD)\("), "("),
    (re.compile(r"(\w+\[\d+\])\.(\d+)"), r"(\1 >> \2 & 1 != 0)"),
    (re.compile(r"T#(\d+)MS"), r"\1"),
    (re.compile(r"<>"), "!="),
    (re.compile(r"(?<![:<>!=])=(?!=)"), "=="),
    (re.compile(r"\bTRUE\b"), "True"),
    (re.compile(r"\bFALSE\b"), "False"),
    (re.compile(r"\bMOD\b"), "%"),
    (re.compile(r"\b(AND|OR|NOT)\b"), lambda match: match[1].lower()),
    (re.compile(r"\s+"), " "),
)


class Timer:
    """TON: its output is 1 when its input has been 1 for PT milliseconds."""

    def __init__(self, block: "FunctionBlock") -> None:
        self._block = block
        self._since: float | None = None
        self.Q = False

    def __call__(self, **inputs: Any) -> None:
        self._since = (self._block.now_ms if self._since is None else self._since) if inputs["IN"] else None
        self.Q = self._since is not None and self._block.now_ms - self._since >= inputs["PT"]


class FbdTimer:
    """The timer of TONR in Studio 5000."""

    def __init__(self, block: "FunctionBlock") -> None:
        self.PRE, self.TimerEnable, self.Reset, self.DN = 0, False, False, False
        self._timer = Timer(block)

    def step(self) -> None:
        """TONR."""
        self._timer(IN=self.TimerEnable and not self.Reset, PT=self.PRE)
        self.DN = self._timer.Q


def siemens(text: str) -> str:
    """The function block of an SCL source, as IEC 61131-3 writes it."""
    block = re.sub(r"\(\*.*?\*\)", "", text, flags=re.S).partition("END_FUNCTION_BLOCK")[0]
    block = re.sub(r"16#(\w+)", lambda match: str(int(match[1], 16)), block[block.index("VAR_INPUT") :])
    block = re.sub(r"(?<!\w)#", "", block.replace("UDINT#", "").replace(".%X", "."))
    return re.sub(r"^BEGIN$", "", block, flags=re.M)


def rockwell(text: str) -> str:
    """An Add-On Instruction whose parameters stand in comments, as IEC 61131-3 writes it."""
    tags = " ".join(re.findall(r"^// (?:InOut|Input|Output|Local) +(.*)$", text, re.M))
    tags = re.sub(r"DINT\[(\d+)\]", lambda match: f"ARRAY[0..{int(match[1]) - 1}] OF DINT", tags)
    body = re.sub(r"//.*", "", text).replace(" / ", " // ")
    body = re.sub(r"(\w+) AND (\d+)", r"(\1 & \2)", body)
    body = re.sub(r"CPS\((\w+)\[0\], (\w+)\[0\], (\d+)\);", r"\2[0:\3] := \1[0:\3];", body)
    return f"VAR {tags} END_VAR {body}"


class FunctionBlock:
    """A block of one file; `cycle` sets inputs and runs it once, `self[name]` is a variable."""

    def __init__(self, text: str) -> None:
        text = re.sub(r"\(\*.*?\*\)", "", text, flags=re.S)
        declarations, body = text.rsplit("END_VAR", 1)
        self.now_ms = 0.0
        self._variables: dict[str, Any] = {}
        for names, kind in re.findall(r"([\w, ]+):\s*([^;]+);", declarations):
            for name in re.findall(r"\w+", names):
                self._variables[name] = self._initial(kind)
        self._code = compile(_python(body.partition("END_FUNCTION_BLOCK")[0]), "the function block", "exec")

    def _initial(self, kind: str) -> Any:
        if array := re.match(r"ARRAY\[0\.\.(\d+)\]", kind):
            return [0] * (int(array[1]) + 1)
        timers = {"TON": Timer, "TON_TIME": Timer, "FBD_TIMER": FbdTimer}
        return timers[kind](self) if kind in timers else False if kind == "BOOL" else 0

    def cycle(self, ms: float = 10, **inputs: Any) -> None:
        """One cycle of the PLC, `ms` after the last."""
        self.now_ms += ms
        assert set(inputs) <= set(self._variables), inputs
        self._variables.update(inputs)
        exec(self._code, {"__builtins__": {"range": range}, "TONR": FbdTimer.step}, self._variables)

    def __getitem__(self, name: str) -> Any:
        return self._variables[name]


def _python(body: str) -> str:
    lines, depth = [], 0
    for found in _STATEMENT.findall(body):
        statement = found.strip()
        if statement.startswith("END_"):
            depth -= 1
            continue
        if statement.startswith(("ELSIF", "ELSE")):
            depth -= 1
        lines.append("    " * depth + _line(statement))
        depth += lines[-1].endswith(":")
    return "\n".join(lines) + "\n"


def _line(statement: str) -> str:
    if condition := re.fullmatch(r"(IF|ELSIF)\b(.*)\bTHEN", statement, re.S):
        return f"{'if' if condition[1] == 'IF' else 'elif'} {_expression(condition[2])}:"
    if statement == "ELSE":
        return "else:"
    if loop := re.fullmatch(r"FOR (\w+) := (\d+) TO (\d+) DO", statement):
        return f"for {loop[1]} in range({loop[2]}, {loop[3]} + 1):"
    if call := re.fullmatch(r"(\w+)\((.*)\);", statement, re.S):
        return f"{call[1]}({_expression(call[2]).replace(':=', '=')})"
    target, _, value = statement.rstrip(";").partition(":=")
    name, _, bit = target.strip().partition(".")
    value = _expression(value)
    if bit and not bit.isdigit():
        return f"{name}.{bit} = {value}"
    return f"{name} = {name} & ~(1 << {bit}) | ({value}) << {bit}" if bit else f"{name} = {value}"


def _expression(text: str) -> str:
    for pattern, by in _WORDS:
        text = pattern.sub(by, text)
    return text.strip()
