"""What XLA compiled for a GPU, read: the step that a client's loop repeats, its kernels and bytes.

Two texts say it: the optimised program (HLO), whose shapes give the bytes, and the list of launches
("thunks") that XLA dumps, in which a loop that stands within a command buffer, which is a CUDA
graph, runs without the host.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pride_jax.errors import PrideError

_BITS = {"pred": 8, "bf16": 16}
_COMPUTATION = re.compile(r"^(?:ENTRY )?%([\w.\-]+) [^\n]*\{\n(.*?)^\}", re.M | re.S)
_OPERATION = re.compile(r"^\s*(?:ROOT )?%([\w.\-]+) = (\([^=]*?\)|\S+) ([\w\-]+)\((.*)$", re.M)
_ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
_LAYOUT = re.compile(r"\{[^}]*\}")
_NAME = re.compile(r"%([\w.\-]+)")
_LAUNCHED = ("fusion", "custom-call", "copy", "sort", "scatter", "convolution", "dot")
_PRODUCT = re.compile(r"gemm|cublas|cudnn|^dot|^convolution")
_ALIAS = ("bitcast", "reshape", "get-tuple-element")
_SLICES = ("dynamic-slice", "gather", "slice")
_THUNK = re.compile(r"^( *)\d+: (k\w+)\s*(?:\[[^\]]*\])?(.*)$")


class Operation(NamedTuple):
    """A line of a program.

    Attributes:
      name: what its result is called.
      result: type of it, as ``f32[100,200]{1,0}``.
      kind: such as ``fusion``.
      operands: their names.
      rest: the line from the operands on.
    """

    name: str
    result: str
    kind: str
    operands: tuple[str, ...]
    rest: str


class Kernel(NamedTuple):
    """One launch of a step.

    Attributes:
      name: XLA's.
      writes: type of what it writes, as ``f32[100,200]``.
      product: whether it multiplies matrices or convolves.
      bytes: that it reads and writes; of an array of which a part is gathered, that part.
    """

    name: str
    writes: str
    product: bool
    bytes: int


class Step(NamedTuple):
    """What one SGD step of a chunk of clients costs, as compiled.

    Attributes:
      kernels: launches, those that find out if there is another step included.
      host_waits: times that the host waits for the device.
      bytes: read and written.
      products: kernels that multiply.
    """

    kernels: int
    host_waits: int
    bytes: int
    products: int


@dataclass
class _Thunk:
    kind: str
    depth: int
    text: str
    inside: list["_Thunk"] = field(default_factory=list)
    condition: list["_Thunk"] = field(default_factory=list)


def size(types: str) -> int:
    """Bytes of an array, or of a tuple's arrays."""
    total = 0
    for kind, sides in _ARRAY.findall(types):
        bits = _BITS.get(kind) or int(re.sub(r"\D", "", kind) or 0)
        total += math.prod(int(side) for side in sides.split(",") if side) * bits // 8
    return total


def computations(program: str) -> dict[str, list[Operation]]:
    """The functions of an HLO text, by name, as their operations in order."""
    found = {}
    for name, body in _COMPUTATION.findall(re.sub(r"/\*index=\d+\*/", "", program)):
        found[name] = [
            Operation(each, result, kind, tuple(_NAME.findall(rest.partition(")")[0])), rest)
            for each, result, kind, rest in _OPERATION.findall(body)
        ]
    return found


def kernels(program: str, of: str | None = None) -> list[Kernel]:
    """The launches of one of a program's functions.

    Args:
      program: HLO text.
      of: the function's name; the one where the program begins if None.
    """
    functions = computations(program)
    entry = re.findall(r"^ENTRY %([\w.\-]+)", program, re.M)[0]
    operations = functions[of or entry]
    types = {each.name: each.result for each in operations}
    return [
        Kernel(
            each.name,
            _LAYOUT.sub("", each.result),
            _is_product(each),
            _moved(each, types, functions),
        )
        for each in operations
        if each.kind in _LAUNCHED
    ]


def step(program: str, thunks: str) -> Step:
    """The body of the loop that has the most products: a step of every client of a chunk.

    Args:
      program: HLO text, optimised.
      thunks: the launches, as XLA dumps them after its thunk passes.

    Raises:
      PrideError: no loop has a product.
    """
    loops = re.findall(r" while\(.*?body=%([\w.\-]+)", program)
    bodies = {body: kernels(program, body) for body in loops}
    if not any(each.product for body in bodies.values() for each in body):
        raise PrideError("The compiled program has no loop with a product of matrices")
    body = max(bodies.values(), key=lambda body: sum(each.product for each in body))
    launches, waits = _loop(_read(thunks))
    products = sum(each.product for each in body)
    return Step(launches, waits, sum(each.bytes for each in body), products)


def _is_product(operation: Operation) -> bool:
    called = re.findall(r"(?:calls=%|custom_call_target=\")([\w.\-$]+)", operation.rest)
    return any(_PRODUCT.search(each) for each in (operation.name, operation.kind, *called))


def _moved(operation: Operation, types: dict[str, str], functions: dict) -> int:
    called = re.findall(r"calls=%([\w.\-]+)", operation.rest)
    if not called:
        read = sum(size(types[name]) for name in operation.operands if name in types)
        return read + size(operation.result)
    inner: Sequence[Operation] = functions[called[0]]
    read = 0
    for number, name in enumerate(operation.operands):
        whole = size(types[name])
        read += min(whole, _read_of(number, whole, inner))
    return read + _written(operation, inner)


def _read_of(number: int, whole: int, inner: Sequence[Operation]) -> int:
    """Bytes of a fusion's operand that it reads: slices of it, where it reads nothing else."""
    names = {
        each.name
        for each in inner
        if each.kind == "parameter" and each.rest.startswith(f"{number})")
    }
    total = 0
    for each in inner:
        if not names & set(each.operands):
            continue
        if each.kind in _ALIAS:
            names.add(each.name)
        elif each.kind in _SLICES and each.operands[0] in names:
            total += size(each.result)
        elif each.kind == "dynamic-update-slice" and each.operands[0] in names:
            pass
        else:
            return whole
    return total


def _written(operation: Operation, inner: Sequence[Operation]) -> int:
    """Bytes that a fusion writes: of an array of which a slice is replaced, the slice."""
    root = inner[-1]
    if root.kind == "dynamic-update-slice":
        sizes = {each.name: size(each.result) for each in inner}
        return sizes[root.operands[1]]
    return size(operation.result)


def _read(thunks: str) -> list[_Thunk]:
    """The tree of launches: what a command buffer or a loop holds is indented below it."""
    roots: list[_Thunk] = []
    open_: list[_Thunk] = []
    in_condition: set[int] = set()
    for line in thunks.splitlines():
        if line.strip() == "condition:":
            in_condition.add(id(open_[-1]))
        elif line.strip() == "body:":
            indent = len(line) - len(line.lstrip())
            while open_[-1].depth >= indent:
                open_.pop()
            in_condition.discard(id(open_[-1]))
        elif match := _THUNK.match(line):
            thunk = _Thunk(match[2], len(match[1]), match[3])
            while open_ and open_[-1].depth >= thunk.depth:
                open_.pop()
            if not open_:
                roots.append(thunk)
            else:
                above = open_[-1]
                (above.condition if id(above) in in_condition else above.inside).append(thunk)
            open_.append(thunk)
    return roots


def _loop(roots: Sequence[_Thunk]) -> tuple[int, int]:
    """Launches of the step's loop, and how often its step waits for the host."""
    found: list[tuple[int, int, int]] = []

    def visit(thunk: _Thunk, graphed: bool) -> None:
        graphed |= thunk.kind == "kCommandBuffer"
        if thunk.kind == "kWhile":
            products = sum(_multiplies(each) for each in _flat(thunk.inside, loops=False))
            launches = [*_flat(thunk.inside), *_flat(thunk.condition)]
            waits = 0 if graphed else 1 + sum(each.kind == "kWhile" for each in launches)
            if "trip_count" in thunk.text and not graphed:
                waits -= 1
            count = sum(each.kind not in ("kWhile", "kCommandBuffer") for each in launches)
            found.append((products, count, waits))
        for each in (*thunk.inside, *thunk.condition):
            visit(each, graphed)

    for root in roots:
        visit(root, False)
    _, count, waits = max(found)
    return count, waits


def _multiplies(thunk: _Thunk) -> bool:
    return bool(re.search("Gemm|Cublas|Conv", thunk.kind) or _PRODUCT.search(thunk.text))


def _flat(thunks: Sequence[_Thunk], loops: bool = True) -> list[_Thunk]:
    """All launches below; without those of loops within if asked."""
    flat = []
    for each in thunks:
        flat.append(each)
        if loops or each.kind != "kWhile":
            flat += _flat([*each.inside, *each.condition], loops)
    return flat
