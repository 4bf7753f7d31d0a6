"""headct.hct: tensors, tapes, gradients, the memory that is shared, what is refused."""
import gc
import unittest

import numpy as np

from headct import HeadctError, hct


class Runtime(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dev = hct.Device("cpu")
        cls.random = np.random.default_rng(1)

    def array(self, *shape):
        return self.random.standard_normal(shape).astype(np.float32)

    def test_every_dtype_goes_in_and_out(self):
        for name in hct.DTYPES:
            values = np.array([[0, 1, 2], [3, 100, 127]], np.float32 if name == "BF16" else hct.NUMPY[name])
            tensor = self.dev.tensor(values, dtype=name)
            self.assertEqual((tensor.dtype, tensor.shape), (name, (2, 3)))
            np.testing.assert_array_equal(tensor.numpy(), values)

    def test_bfloat16_is_rounded_to_even(self):
        x = np.array([1 + 2**-8, 1 + 3 * 2**-8, -3.14159], np.float32)
        np.testing.assert_array_equal(self.dev.tensor(x, dtype="BF16").numpy(), np.array([1, 1 + 2**-6, -3.140625], np.float32))

    def test_arrays_with_gaps_and_shapes_without_elements(self):
        x = self.array(4, 6)
        np.testing.assert_array_equal(self.dev.tensor(x.T[::2]).numpy(), x.T[::2])
        np.testing.assert_array_equal(self.dev.tensor(np.float32(3)).numpy(), np.float32(3))
        self.assertEqual(self.dev.zeros((0, 3)).numpy().shape, (0, 3))

    def test_memory_of_the_cpu_is_shared_both_ways(self):
        tensor = self.dev.tensor(self.array(3, 4))
        first, second, third = tensor.numpy(), np.from_dlpack(tensor), np.asarray(tensor)
        self.assertEqual(first.ctypes.data, second.ctypes.data)
        self.assertEqual(first.ctypes.data, third.ctypes.data)
        first[1, 2] = 7
        self.assertEqual(tensor.numpy(copy=True)[1, 2], 7)
        self.assertNotEqual(tensor.numpy(copy=True).ctypes.data, first.ctypes.data)

    def test_shared_memory_outlives_the_tensor(self):
        x = self.array(1000, 100)
        before = self.dev.memory["bytes"]
        views = [self.dev.tensor(x).numpy(), np.from_dlpack(self.dev.tensor(x))[5:]]
        gc.collect()
        self.dev.tensor(np.zeros_like(x))
        np.testing.assert_array_equal(views[0], x)
        np.testing.assert_array_equal(views[1], x[5:])
        self.assertGreaterEqual(self.dev.memory["bytes"], before + 2 * x.nbytes)
        del views
        gc.collect()
        self.assertEqual(self.dev.memory["bytes"], before)

    def test_dlpack_comes_in(self):
        class Other:
            def __init__(self, array):
                self.array = array

            def __dlpack__(self, **how):
                return self.array.__dlpack__(**how)

            def __dlpack_device__(self):
                return self.array.__dlpack_device__()

        x = self.array(5, 2)
        np.testing.assert_array_equal(self.dev.tensor(Other(x)).numpy(), x)

    def test_products_and_gradients(self):
        x, w, b = self.array(5, 4), self.array(3, 4), self.array(3)
        t = self.dev.tape()
        wv, bv = t.param(self.dev.tensor(w)), t.param(self.dev.tensor(b))
        y = t.linear(self.dev.tensor(x), wv, bv)
        t.backward((y * y).sum())
        expected = x @ w.T + b
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(wv.grad().numpy(), 2 * expected.T @ x, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(bv.grad().numpy(), 2 * expected.sum(0), rtol=1e-4, atol=1e-4)
        self.assertIsNone(t.use(self.dev.tensor(x)).grad())

    def test_operators_axes_and_views(self):
        a, b = self.array(2, 3, 4), self.array(3, 4)
        t = self.dev.tape()
        x, y = t.use(self.dev.tensor(a)), t.use(self.dev.tensor(b))
        cases = [(x + y, a + b), (x - y, a - b), (2 * x + 1, 2 * a + 1), (-x, -a), (x @ y.permute(1, 0), a @ b.T), (x.sum((0, -1)), a.sum((0, 2))),
                 (x.mean(1, keepdims=True), a.mean(1, keepdims=True)), (x.mean(), a.mean()), (x.reshape(6, -1), a.reshape(6, -1)),
                 (x.permute(2, 0, 1), a.transpose(2, 0, 1)), (x.slice(2, 1, 2), a[:, :, 1:3])]
        for value, expected in cases:
            self.assertEqual(value.shape, expected.shape)
            np.testing.assert_allclose(value.numpy(), expected, rtol=1e-5, atol=1e-6)

    def test_any_op_by_name_is_the_named_one(self):
        self.assertIn("attention", self.dev.context.ops())
        x, w, b = self.array(4, 8), self.array(8), self.array(8)
        t = self.dev.tape()
        parts = [t.use(self.dev.tensor(v)) for v in (x, w, b)]
        np.testing.assert_array_equal(t.emit("layer_norm", *parts, outputs=3, eps=1e-6)[0].numpy(), t.layer_norm(*parts).numpy())
        np.testing.assert_allclose(t.emit("softmax", parts[0]).numpy(), np.exp(x) / np.exp(x).sum(1, keepdims=True), rtol=1e-5)

    def test_a_program_is_run_again_on_new_values(self):
        x, w = self.dev.tensor(self.array(3, 4)), self.array(2, 4)
        t = self.dev.tape(program=True)
        y = t.linear(x, self.dev.tensor(w)).keep()
        self.assertEqual(t.compile()["nodes"], 1)
        calls = self.dev.memory["calls"]
        for _ in range(3):
            x.write(self.array(3, 4))
            t.run()
            np.testing.assert_allclose(y.numpy(), x.numpy() @ w.T, rtol=1e-5, atol=1e-6)
        self.assertEqual(self.dev.memory["calls"], calls)

    def test_a_tape_keeps_what_it_uses(self):
        w = self.array(2, 4)
        t = self.dev.tape(program=True)
        y = t.linear(self.dev.tensor(np.eye(4, dtype=np.float32)), self.dev.tensor(w)).keep()
        gc.collect()
        t.compile()
        t.run()
        np.testing.assert_allclose(y.numpy(), w.T, rtol=1e-6)

    def test_what_is_refused_says_why(self):
        t = self.dev.tape()
        with self.assertRaisesRegex(HeadctError, "linear: x is") as e:
            t.linear(self.dev.zeros((2, 2)), self.dev.zeros((3, 3)))
        self.assertEqual(e.exception.status, -2)
        with self.assertRaisesRegex(HeadctError, "no such backend"):
            hct.Device("abacus")
        with self.assertRaisesRegex(HeadctError, "compile"):
            self.dev.tape(program=True).run()
        with self.assertRaisesRegex(HeadctError, "sofmax"):
            self.dev.tape().emit("sofmax", self.dev.zeros((2,)))
        for wrong, error in ((lambda: self.dev.tensor(np.ones(2, complex)), TypeError), (lambda: self.dev.zeros((1,) * 9), ValueError),
                             (lambda: self.dev.zeros((2,)).write(np.zeros(3, np.float32)), ValueError),
                             (lambda: self.dev.zeros((2,)).write(np.zeros(2)), TypeError), (lambda: self.dev.tape().gelu(np.ones(2)), TypeError),
                             (lambda: self.dev.tape().gelu(self.dev.tape().use(self.dev.zeros((2,)))), ValueError),
                             (lambda: self.dev.tape().use(self.dev.zeros((2,))).sum(1), ValueError)):
            self.assertRaises(error, wrong)


if __name__ == "__main__":
    unittest.main()
