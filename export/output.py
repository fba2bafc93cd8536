"""How score and map are computed from the outputs of a foreign model: `NAME`, then steps, applied left to right.

    score=prob[3]               the fourth class of a vector of probabilities
    score=logits:softmax[3]     the fourth class of a vector of logits
    score=logits:sigmoid        the sigmoid of a single logit
    score=heat:max map=heat     the largest value of a map, and the map itself
    score=quality:negative      -x, for an output that is higher for good parts
    score=good:complement       1 - x, for the probability of a good part

`:softmax` and `[CLASS]` apply to the second axis; the first axis is that of the pictures.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from torch import Tensor

from export.source import SubjectError

ROLES = ("score", "map")
STEP = re.compile(r"\[(\d+)\]|:(sigmoid|softmax|max|negative|complement)")
STEPS = re.compile(rf"(?:{STEP.pattern})*")
GRAMMAR = "a name, then :sigmoid, :softmax, [CLASS], :max, :negative or :complement, applied from left to right"

ON_TENSORS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda x: x.sigmoid(),
    "softmax": lambda x: x.softmax(1),
    "max": lambda x: x.flatten(1).amax(1),
    "negative": lambda x: -x,
    "complement": lambda x: 1 - x,
}
"""The steps as functions on PyTorch tensors [1, …]; `Output.nodes` has the same steps as ONNX nodes."""


@dataclass(frozen=True)
class Output:
    """The source of the `role` "score" or "map": the output `name`, and the steps after it (a number is a class)."""

    role: str
    name: str
    steps: tuple[str | int, ...]

    def of(self, value: Tensor) -> Tensor:
        """Score float32 [1] or map float32 [1, h, w] from the output's value [1, …]. Raises SubjectError if the shapes
        do not fit.
        """
        if value.dim() and value.shape[0] != 1:
            raise SubjectError(
                f"{self.name} gives {list(value.shape)} for one picture; its first axis must be pictures"
            )
        for step in self.steps:
            value = self._after(value, step)
        if self.role == "score":
            if value.numel() != 1:
                raise SubjectError(
                    f"{self} has {value.numel()} values for a picture: pick one, such as {self}[1], or take {self}:max"
                )
            return value.reshape(1)
        if value.dim() not in (3, 4) or value.shape[:-2].numel() != 1:
            raise SubjectError(f"{self} is {list(value.shape)}; a map is [1, h, w] or [1, 1, h, w]")
        return value.reshape(1, *value.shape[-2:])

    def nodes(self, shape: tuple[int, ...]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The steps as ONNX nodes of opset 18, with their constants: from `name` to `role` with the static `shape`."""
        nodes: list[onnx.NodeProto] = []
        constants: list[onnx.TensorProto] = []
        last = self.name

        def constant(value: object, dtype: type) -> str:
            constants.append(numpy_helper.from_array(np.array(value, dtype), f"{self.role}/constant_{len(constants)}"))
            return constants[-1].name

        def add(op: str, *inputs: str, output: str | None = None, **attributes: Any) -> None:
            nonlocal last
            output = output or f"{self.role}/{op}_{len(nodes)}"
            nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
            last = output

        for step in self.steps:
            match step:
                case int(index):
                    add("Gather", last, constant(index, np.int64), axis=1)
                case "sigmoid":
                    add("Sigmoid", last)
                case "softmax":
                    add("Softmax", last, axis=1)
                case "max":
                    add("Flatten", last, axis=1)
                    add("ReduceMax", last, constant([1], np.int64), keepdims=0)
                case "negative":
                    add("Neg", last)
                case "complement":
                    add("Sub", constant(1, np.float32), last)
        add("Reshape", last, constant(shape, np.int64), output=self.role)
        return nodes, constants

    def _after(self, value: Tensor, step: str | int) -> Tensor:
        if value.dim() < 2 and (step in ("softmax", "max") or isinstance(step, int)):
            said = f"[{step}]" if isinstance(step, int) else f":{step}"
            raise SubjectError(f"{self}: there is one value for a picture before {said}: leave that out")
        if not isinstance(step, int):
            return ON_TENSORS[step](value)
        if step >= value.shape[1]:
            raise SubjectError(f"{self}: there is no class {step}; {self.name} has 0 to {value.shape[1] - 1}")
        return value[:, step]

    def __str__(self) -> str:
        steps = (f"[{step}]" if isinstance(step, int) else f":{step}" for step in self.steps)
        return f"{self.role}={self.name}{''.join(steps)}"


def parse_outputs(texts: Iterable[str], shapes: Mapping[str, str]) -> dict[str, Output]:
    """The outputs given with `--output`, by role. `shapes` has the shapes of the model's outputs as text, by name.

    An output's name may contain colons and brackets. Raises SubjectError, in one line.
    """
    found: dict[str, Output] = {}
    for text in texts:
        role, equals, rest = text.partition("=")
        if not equals or role not in ROLES:
            raise SubjectError(f"--output {text!r} is neither score=… nor map=…: {GRAMMAR}")
        if role in found:
            raise SubjectError(f"--output {role}=… is given twice")
        found[role] = _parsed(role, rest, shapes)
    if "score" not in found:
        raise SubjectError(f"say what the score is: --output score=NAME; {_have(shapes)}")
    return found


def _parsed(role: str, text: str, shapes: Mapping[str, str]) -> Output:
    begins = sorted((name for name in shapes if text.startswith(name)), key=len, reverse=True)
    for name in begins:
        if STEPS.fullmatch(text[len(name) :]):
            steps = (int(index) if index else word for index, word in STEP.findall(text[len(name) :]))
            return Output(role, name, tuple(steps))
    if begins and text[len(begins[0])] in ":[":
        raise SubjectError(f"--output {role}={text}: {text[len(begins[0]) :]!r} is no step; it takes {GRAMMAR}")
    raise SubjectError(f"--output {role}={text}: there is no such output; {_have(shapes)}")


def _have(shapes: Mapping[str, str]) -> str:
    return f"the model has {', '.join(f'{name} {shape}' for name, shape in shapes.items())}"
