"""headct.hct: the runtime of headct: tensors on devices, and tapes of ops with gradients.

    from headct import hct
    dev = hct.Device("cpu")
    w, x = dev.tensor(np.ones((3, 2), "f4")), dev.tensor(np.eye(2, dtype="f4"))
    t = dev.tape()                          # each call runs as it comes
    weight = t.param(w)                     # a value that gradients flow to
    loss = t.linear(t.use(x), weight).sum()
    t.backward(loss)
    weight.grad().numpy()                   # float32 [3, 2]

With dev.tape(program=True) calls are recorded; keep() the values to be read, compile() once, run() as often as you like. Every computation is
done by libhct: this file only hands over numbers. A tape is for one thread at a time."""
from __future__ import annotations

import ctypes as C
import functools
import numbers
import weakref
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ._library import BF16, DTYPES, MAX_DIMS, NUMPY, STORED, Attr, Err, IDS, Options, check, library, message, widen
from ._program import HeadctError

__all__ = ["Context", "Device", "Tensor", "Tape", "Value", "HeadctError", "DTYPES"]


def _released(free, handle, keeps) -> None:
    """keeps: what must outlive the handle; the finaliser holds it until here."""
    free(handle)


def _owned(owner: object, free, handle: int, keeps: object) -> int:
    weakref.finalize(owner, _released, free, handle, keeps)
    return handle


def _dims(shape: Sequence[int]):
    if len(shape) > MAX_DIMS:
        raise ValueError(f"a tensor has at most {MAX_DIMS} axes, not {len(shape)}")
    return (C.c_int64 * max(1, len(shape)))(*shape)


def _dtype(dtype: object) -> int:
    name = dtype if dtype in DTYPES else next((n for n, t in NUMPY.items() if np.dtype(t) == np.dtype(dtype)), None)  # type: ignore[arg-type]
    if name is None:
        raise TypeError(f"dtype {dtype}: libhct has {', '.join(DTYPES)}")
    return DTYPES.index(name)  # type: ignore[arg-type]


def _from_bits(raw: np.ndarray, dtype: int) -> np.ndarray:
    return widen(raw) if dtype == BF16 else raw


class Context:
    """What is loaded: backends, ops, kernels. plugins: files of plugins to load on top of those that lie beside libhct and in $HCT_PLUGIN_PATH."""

    def __init__(self, plugins: Sequence[str] = ()):
        err, lib = Err(), library()
        files = (C.c_char_p * max(1, len(plugins)))(*(str(p).encode() for p in plugins))
        handle = lib.hct_open(C.byref(Options(files, len(plugins))), C.byref(err))
        if not handle:
            raise HeadctError(message(err), err.code)
        self._handle = _owned(self, lib.hct_close, handle, None)

    def ops(self) -> List[str]:
        """The names of all ops, plugins' included."""
        lib = library()
        return [lib.hct_op_at(self._handle, i).contents.name.decode() for i in range(lib.hct_op_count(self._handle))]


@functools.lru_cache(maxsize=None)
def _default_context() -> Context:
    return Context()


class Device:
    """An opened device. spec: "cpu", "opencl:1", "cuda"; None: $HEADCT_DEVICE, else "cpu"."""

    def __init__(self, spec: Optional[str] = None, context: Optional[Context] = None):
        err, lib = Err(), library()
        self.context = context or _default_context()
        handle = lib.hct_device_open(self.context._handle, spec.encode() if spec else None, C.byref(err))
        if not handle:
            raise HeadctError(message(err), err.code)
        self._handle = _owned(self, lib.hct_device_close, handle, self.context)

    @property
    def backend(self) -> str:
        """ "cpu", "opencl", "cuda"."""
        return library().hct_device_backend(self._handle).decode()

    @property
    def memory(self) -> Dict[str, int]:
        """calls: allocations so far; bytes: held now; peak: at most."""
        m = library().hct_device_memory(self._handle)
        return {"calls": m.calls, "bytes": m.bytes, "peak": m.peak}

    def zeros(self, shape: Sequence[int], dtype: object = "F32") -> "Tensor":
        """A contiguous tensor of zeros. dtype: one of DTYPES, or NumPy's."""
        return Tensor(self, shape, dtype)

    def tensor(self, data: Any, dtype: object = None) -> "Tensor":
        """A tensor with a copy of data: an array, a list, or whatever speaks DLPack (a PyTorch tensor on the CPU).

        dtype: None keeps the array's; "BF16" rounds float32 on the device."""
        if hasattr(data, "__dlpack__") and not isinstance(data, np.ndarray):
            data = np.from_dlpack(data)
        array = np.asarray(data)
        wanted = _dtype(array.dtype if dtype is None else dtype)
        if wanted == BF16:
            return self._rounded(array.astype(np.float32, copy=False))
        tensor = Tensor(self, array.shape, DTYPES[wanted])
        tensor.write(array)
        return tensor

    def _rounded(self, array: np.ndarray) -> "Tensor":
        tape = self.tape()
        value = tape.cast(tape.use(self.tensor(array)), "BF16")
        tensor = Tensor(self, array.shape, "BF16")
        tensor._write(value._bits())
        return tensor

    def tape(self, program: bool = False) -> "Tape":
        """program False: each call runs as it comes; True: calls are recorded, planned by compile(), carried out by run()."""
        return Tape(self, program)


class Tensor:
    """Memory on a device, row-major. Made by Device.tensor and Device.zeros."""

    def __init__(self, device: Device, shape: Sequence[int], dtype: object = "F32"):
        err, lib = Err(), library()
        self.device, self.shape, self.dtype = device, tuple(int(n) for n in shape), DTYPES[_dtype(dtype)]
        handle = lib.hct_tensor_new(device._handle, _dtype(dtype), len(self.shape), _dims(self.shape), C.byref(err))
        if not handle:
            raise HeadctError(message(err), err.code)
        self._handle = _owned(self, lib.hct_tensor_free, handle, device)

    def _write(self, bits: np.ndarray) -> None:
        err = Err()
        check(library().hct_tensor_write(self._handle, bits.ctypes.data, C.byref(err)), err)

    def write(self, array: Any) -> None:
        """Takes all values over. array: of this tensor's shape and dtype (of BF16: float32)."""
        array = np.asarray(array)
        if array.shape != self.shape:
            raise ValueError(f"the tensor is {self.shape}, the array {array.shape}")
        if self.dtype == "BF16":
            self._write(self.device._rounded(array.astype(np.float32, copy=False))._bits())
            return
        if array.dtype != np.dtype(NUMPY[self.dtype]):
            raise TypeError(f"the tensor is {self.dtype}, the array {array.dtype}: convert it first")
        self._write(np.ascontiguousarray(array))

    def _bits(self) -> np.ndarray:
        out, err = np.empty(self.shape, STORED[self.dtype]), Err()
        check(library().hct_tensor_read(self._handle, out.ctypes.data, C.byref(err)), err)
        return out

    def numpy(self, copy: bool = False) -> np.ndarray:
        """The values. On the CPU this is the tensor's own memory, which lives as long as the array does: what is written there is written to the
        tensor. Elsewhere, with copy=True and of BF16 (as float32) it is a copy."""
        view = library().hct_tensor_view(self._handle).contents
        if copy or self.dtype == "BF16" or self.device.backend != "cpu" or 0 in self.shape:
            return _from_bits(self._bits(), DTYPES.index(self.dtype))
        count = int(np.prod(self.shape, dtype=np.int64))
        memory = (C.c_char * (count * np.dtype(NUMPY[self.dtype]).itemsize)).from_address(view.mem + view.off)
        memory._tensor = self  # the array's base: keeps the tensor
        return np.frombuffer(memory, NUMPY[self.dtype]).reshape(self.shape)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        array = self.numpy(copy=bool(copy))
        return array if dtype is None else array.astype(dtype, copy=False)

    def __dlpack__(self, **how: Any) -> Any:
        """For np.from_dlpack, torch.from_dlpack: shares the memory on the CPU, hands out a copy elsewhere."""
        if self.dtype == "BF16":
            raise BufferError("a BF16 tensor goes out as numpy(), in float32")
        return self.numpy().__dlpack__(**how)

    def __dlpack_device__(self) -> Tuple[int, int]:
        return (1, 0)  # kDLCPU: that of what __dlpack__ gives

    def __repr__(self) -> str:
        return f"<headct.hct.Tensor {self.dtype}{list(self.shape)} on {self.device.backend}>"


Operand = Union["Value", Tensor]


class Value:
    """A value on a tape, made by its calls."""

    __array_ufunc__ = None  # array + value is no elementwise loop over objects

    def __init__(self, tape: "Tape", number: int):
        self.tape, self._id = tape, number

    def _view(self):
        return library().hct_shape(self.tape._handle, self._id).contents

    @property
    def shape(self) -> Tuple[int, ...]:
        v = self._view()
        return tuple(v.dim[: v.ndim])

    @property
    def dtype(self) -> str:
        return DTYPES[self._view().dtype]

    def _bits(self) -> np.ndarray:
        out, err = np.empty(self.shape, STORED[self.dtype]), Err()
        check(library().hct_read(self.tape._handle, self._id, out.ctypes.data, C.byref(err)), err)
        return out

    def numpy(self) -> np.ndarray:
        """A copy of the value (BF16: as float32). On a program's tape it must be kept (keep) and the program have run."""
        return _from_bits(self._bits(), DTYPES.index(self.dtype))

    def keep(self) -> "Value":
        """Of a program: the value stays readable after a run."""
        library().hct_keep(self.tape._handle, self._id)
        return self

    def grad(self) -> Optional["Value"]:
        """dL/d(value) after Tape.backward; None where it does not reach the loss."""
        number = library().hct_grad(self.tape._handle, self._id)
        return Value(self.tape, number) if number else None

    def detach(self) -> "Value":
        """The value without its history."""
        return self.tape._value(library().hct_detach(self.tape._handle, self._id))

    def _axes(self, axis: Union[None, int, Sequence[int]]) -> int:
        n = len(self.shape)
        axes = range(n) if axis is None else [axis] if isinstance(axis, numbers.Integral) else axis
        for a in axes:
            if not -n <= a < n:
                raise ValueError(f"axis {a} of a value with {n} axes")
        return sum(1 << i for i in {a % n for a in axes})

    def sum(self, axis: Union[None, int, Sequence[int]] = None, keepdims: bool = False) -> "Value":
        return self.tape._call("hct_sum", self, self._axes(axis), int(keepdims))

    def mean(self, axis: Union[None, int, Sequence[int]] = None, keepdims: bool = False) -> "Value":
        return self.tape._call("hct_mean", self, self._axes(axis), int(keepdims))

    def reshape(self, *shape: int) -> "Value":
        return self.tape._call("hct_reshape", self, len(shape), _dims(shape))

    def permute(self, *axes: int) -> "Value":
        """Axis i of the result is this value's axis axes[i]."""
        if sorted(a % len(self.shape) for a in axes) != list(range(len(self.shape))):
            raise ValueError(f"{axes}: each axis once, of {len(self.shape)}")
        return self.tape._call("hct_permute", self, (C.c_int * max(1, len(axes)))(*axes))

    def slice(self, axis: int, start: int, length: int) -> "Value":
        return self.tape._call("hct_slice", self, axis, start, length)

    def __add__(self, other: Union[Operand, float]) -> "Value":
        return self.tape.scale(self, 1, other) if isinstance(other, numbers.Real) else self.tape._call("hct_add", self, other)

    def __sub__(self, other: Union[Operand, float]) -> "Value":
        return self.tape.scale(self, 1, -other) if isinstance(other, numbers.Real) else self.tape._call("hct_sub", self, other)

    def __mul__(self, other: Union[Operand, float]) -> "Value":
        return self.tape.scale(self, other) if isinstance(other, numbers.Real) else self.tape._call("hct_mul", self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> "Value":
        return self.tape.scale(self, -1)

    def __matmul__(self, other: Operand) -> "Value":
        return self.tape._call("hct_matmul", self, other)

    def __repr__(self) -> str:
        return f"<headct.hct.Value {self.dtype}{list(self.shape)}>"


def _attribute(name: str, value: object) -> Attr:
    """As HCT_INT, HCT_REAL, hct_ints: a whole number, a real one, whole numbers."""
    a = Attr(name=name.encode())
    if isinstance(value, numbers.Integral):
        a.kind, a.n, a.ints[0] = 0, 1, int(value)
    elif isinstance(value, numbers.Real):
        a.kind, a.real = 1, float(value)
    else:
        whole = [int(v) for v in value]  # type: ignore[attr-defined]
        if len(whole) > MAX_DIMS:
            raise ValueError(f"attribute '{name}': at most {MAX_DIMS} numbers")
        a.kind, a.n = 2, len(whole)
        a.ints[: len(whole)] = whole
    return a


class Tape:
    """Calls in order. The first one that fails raises HeadctError and spoils the tape: make another."""

    def __init__(self, device: Device, program: bool = False):
        lib = library()
        self.device, self._tensors, self._compiled = device, [], False
        handle = lib.hct_tape_new(device._handle, int(program))
        if not handle:
            raise MemoryError("no memory for a tape")
        self._handle = _owned(self, lib.hct_tape_free, handle, (device, self._tensors))

    def _check(self) -> None:
        err = Err()
        check(library().hct_tape_error(self._handle, C.byref(err)), err)

    def _value(self, number: int) -> Value:
        self._check()
        return Value(self, number)

    def _number(self, operand: Operand) -> int:
        if isinstance(operand, Tensor):
            operand = self.use(operand)
        if not isinstance(operand, Value):
            raise TypeError(f"{type(operand).__name__}: ops take values and tensors; Device.tensor makes one of an array")
        if operand.tape is not self:
            raise ValueError("a value of another tape")
        return operand._id

    def _call(self, function: str, *arguments: object) -> Value:
        plain = [self._number(a) if isinstance(a, (Value, Tensor)) else a for a in arguments]
        for a in plain:
            if not isinstance(a, (numbers.Real, C.Array)):
                self._number(a)  # type: ignore[arg-type]  # raises
        return self._value(getattr(library(), function)(self._handle, *plain))

    def _tensor(self, function: str, tensor: Tensor) -> Value:
        if tensor.device is not self.device:
            raise ValueError("a tensor of another device")
        self._tensors.append(tensor)
        return self._value(getattr(library(), function)(self._handle, tensor._handle))

    def use(self, tensor: Tensor) -> Value:
        """The tensor as a constant."""
        return self._tensor("hct_use", tensor)

    def param(self, tensor: Tensor) -> Value:
        """The tensor as a parameter: gradients flow to it."""
        return self._tensor("hct_param", tensor)

    def emit(self, op: str, *inputs: Operand, outputs: int = 1, **attributes: object) -> Any:
        """Appends a call of any op, plugins' included; gives its Value, of several outputs a tuple.

            t.emit("softmax", x);  t.emit("layer_norm", x, w, b, outputs=3, eps=1e-6)[0]

        Attributes are whole numbers, real numbers (write 1.0, not 1, where the op wants one) or lists of whole numbers."""
        numbers_in = (C.c_int32 * max(1, len(inputs)))(*(self._number(i) for i in inputs))
        table = (Attr * max(1, len(attributes)))(*(_attribute(k, v) for k, v in attributes.items()))
        out = (C.c_int32 * max(1, outputs))()
        library().hct_emit(self._handle, op.encode(), C.cast(numbers_in, IDS), len(inputs), table, len(attributes), C.cast(out, IDS), outputs)
        values = tuple(self._value(out[i]) for i in range(outputs))
        return values[0] if outputs == 1 else values

    def emit_into(self, op: str, *inputs: Operand, targets: Sequence[Tensor], **attributes: object) -> None:
        """The same for ops that change tensors, such as optimisers: targets are written."""
        numbers_in = (C.c_int32 * max(1, len(inputs)))(*(self._number(i) for i in inputs))
        table = (Attr * max(1, len(attributes)))(*(_attribute(k, v) for k, v in attributes.items()))
        out = (C.c_int32 * max(1, len(targets)))(*(self._number(i) for i in targets))
        library().hct_emit_into(self._handle, op.encode(), C.cast(numbers_in, IDS), len(inputs), table, len(attributes), C.cast(out, IDS), len(targets))
        self._check()

    # Shapes and formulas: hct/ops.h.
    def scale(self, x: Operand, factor: float, plus: float = 0.0) -> Value:
        """factor x + plus"""
        return self._call("hct_scale", x, factor, plus)

    def gelu(self, x: Operand) -> Value:
        return self._call("hct_gelu", x)

    def rsqrt(self, x: Operand, eps: float = 0.0) -> Value:
        """1 / sqrt(x + eps)"""
        return self._call("hct_rsqrt", x, eps)

    def cast(self, x: Operand, dtype: object) -> Value:
        return self._call("hct_cast", x, _dtype(dtype))

    def linear(self, x: Operand, w: Operand, b: Optional[Operand] = None) -> Value:
        """x [..., K], w [N, K], b [N] -> [..., N]: x w^T + b"""
        return self._call("hct_linear", x, w, 0 if b is None else b)

    def attention(self, q: Operand, k: Operand, v: Operand, scale: float) -> Value:
        """q [B, N, H, D], k, v [B, M, H, D] -> [B, N, H, D]: softmax(scale q k^T) v for each head"""
        return self._call("hct_attention", q, k, v, scale)

    def layer_norm(self, x: Operand, w: Operand, b: Operand, eps: float = 1e-6) -> Value:
        """Over the last axis."""
        return self._call("hct_layer_norm", x, w, b, eps)

    def softmax(self, x: Operand) -> Value:
        """Over the last axis."""
        return self._call("hct_softmax", x)

    def l2_normalize(self, x: Operand, eps: float = 1e-12) -> Value:
        """x / max(||x||, eps) over the last axis"""
        return self._call("hct_l2_normalize", x, eps)

    def cross_entropy(self, logits: Operand, target: Operand) -> Value:
        """logits [N, C], target I32 [N] -> mean of -log softmax(logits)[target], a scalar"""
        return self._call("hct_cross_entropy", logits, target)

    def backward(self, loss: Value, seed: Optional[Value] = None) -> None:
        """Appends the gradients of a scalar; seed: dL/dloss (None: 1), with which the loss may have any shape."""
        library().hct_backward(self._handle, self._number(loss), 0 if seed is None else self._number(seed))
        self._check()

    def compile(self) -> Dict[str, Union[int, float]]:
        """Program: plans all kernels and the memory. What it will take: nodes, arena, workspace and tensors in bytes, flops."""
        err, lib = Err(), library()
        check(lib.hct_compile(self._handle, C.byref(err)), err)
        self._compiled = True
        s = lib.hct_stats(self._handle)
        return {name: getattr(s, name) for name, _ in s._fields_}

    def run(self) -> None:
        """Program: carries all calls out, on what its tensors hold now. Allocates nothing."""
        err = Err()
        if not self._compiled:
            raise HeadctError("Tape.run: compile() the program first", -1)
        check(library().hct_run(self._handle, C.byref(err)), err)
