"""A replaced convolution is the function's own in value and gradient, wherever it stands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax import lax

from pride_jax.errors import ConfigError
from pride_jax.models.convolutions import of_windows, with_batched_kernels
from pride_jax.models.networks import cnn
from pride_jax.models.replacing import replace_layers, with_own_gradients
from pride_jax.models.windows import Moves

CHANNELS_LAST = ("NHWC", "HWIO", "NHWC")


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def reference(x, kernel, strides=(1, 1), padding=((0, 0), (0, 0))):
    """JAX's own, of images that are padded before.

    Its gradient for padding wider than the window, which then becomes negative, is wrong on CPUs.
    """
    return convolve(jnp.pad(x, ((0, 0), *padding, (0, 0))), kernel, strides)


def convolve(x, kernel, strides=(1, 1), padding=((0, 0), (0, 0)), numbers=CHANNELS_LAST):
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=numbers)


def same(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=CHANNELS_LAST)


def value_and_gradients(function, cotangent, *arguments):
    def both(cotangent, *arguments):
        value, pull = jax.vjp(function, *arguments)
        return value, *pull(cotangent)

    return jax.jit(both)(cotangent, *arguments)


def assert_equal(ours, theirs, atol=1e-4):
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, atol=atol)


sides = st.tuples(st.integers(0, 3), st.integers(0, 3))


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(3, 7), st.integers(3, 7), st.integers(1, 3)),
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    outputs=st.integers(1, 3),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(sides, sides),
)
def test_value_and_gradients_are_those_of_a_convolution_of_padded_images(
    shape, window, outputs, strides, padding
):
    x, kernel = draw(0, *shape), draw(1, *window, shape[-1], outputs)
    ours = with_own_gradients(lambda x, kernel: convolve(x, kernel, strides, padding))
    cotangent = draw(2, *ours(x, kernel).shape)
    assert_equal(
        value_and_gradients(ours, cotangent, x, kernel),
        value_and_gradients(lambda *two: reference(*two, strides, padding), cotangent, x, kernel),
    )


@pytest.mark.parametrize(
    ("shape", "window", "strides"),
    [
        ((2, 20, 20, 3), (3, 3), (1, 1)),
        ((2, 20, 20, 8), (3, 3), (1, 1)),
        ((2, 6, 7, 3), (3, 2), (2, 3)),
    ],
)
def test_what_a_cpu_does_image_by_image_is_the_convolution(shape, window, strides):
    """Few channels of large images, and strides: under vmap over clients, too."""

    def function(x, kernel):
        return jnp.sin(convolve(x, kernel, strides, ((1, 1), (0, 2))))

    x, kernel = draw(0, 3, *shape), draw(1, 3, *window, shape[-1], 4)
    cotangent = draw(2, *jax.vmap(function)(x, kernel).shape)
    assert_equal(
        value_and_gradients(jax.vmap(with_own_gradients(function)), cotangent, x, kernel),
        value_and_gradients(jax.vmap(function), cotangent, x, kernel),
        2e-4,
    )


@settings(max_examples=10, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(3, 7), st.integers(3, 7), st.integers(1, 3)),
    window=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    outputs=st.integers(1, 3),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.tuples(st.integers(2, 3), st.integers(2, 3)), sides),
)
def test_a_product_of_windows_is_the_convolution(shape, window, outputs, strides, padding):
    window = tuple(map(min, window, shape[1:3]))
    x, kernel = draw(0, *shape), draw(1, *window, shape[-1], outputs)
    moves = Moves(strides, padding, (1, 1))

    @jax.jit
    def both(x, kernel):
        return of_windows(x, kernel, moves, None), convolve(x, kernel, strides, padding)

    assert_equal(*both(x, kernel))


pairs = st.tuples(st.integers(1, 2), st.integers(1, 2))


@settings(max_examples=5, deadline=None)
@given(
    groups=st.integers(1, 3),
    channels=pairs,
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=pairs,
    dilation=pairs,
    padding=st.tuples(sides, sides),
)
def test_groups_of_channels_and_dilation(groups, channels, window, strides, dilation, padding):
    inputs, outputs = channels
    x = draw(0, 2, 6, 7, groups * inputs)
    kernel = draw(1, *window, inputs, groups * outputs)
    assert_is_xlas(
        x,
        kernel,
        window_strides=strides,
        padding=padding,
        rhs_dilation=dilation,
        feature_group_count=groups,
    )


@settings(max_examples=5, deadline=None)
@given(
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    spread=st.tuples(st.integers(2, 3), st.integers(1, 3)),
    dilation=pairs,
    padding=st.tuples(sides, sides),
)
def test_transposed_convolutions(window, spread, dilation, padding):
    padding = tuple(
        (min(before, (reach - 1) * apart), after)
        for (before, after), reach, apart in zip(padding, window, dilation, strict=True)
    )
    assert_is_xlas(
        draw(0, 2, 3, 4, 2),
        draw(1, *window, 2, 3),
        window_strides=(1, 1),
        padding=padding,
        lhs_dilation=spread,
        rhs_dilation=dilation,
    )


def assert_is_xlas(x, kernel, *, padding, lhs_dilation=(1, 1), **options):
    """Beside XLA's of images spread and padded before: its own gradients may be wrong on CPUs."""

    def theirs(x, kernel):
        inside = [(*pair, apart - 1) for pair, apart in zip(padding, lhs_dilation, strict=True)]
        x = lax.pad(x, jnp.float32(0), [(0, 0, 0), *inside, (0, 0, 0)])
        return lax.conv_general_dilated(
            x, kernel, padding="VALID", dimension_numbers=CHANNELS_LAST, **options
        )

    @with_own_gradients
    def ours(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            padding=padding,
            lhs_dilation=lhs_dilation,
            dimension_numbers=CHANNELS_LAST,
            **options,
        )

    shape = jax.eval_shape(theirs, x, kernel).shape
    assume(0 not in shape)
    program = str(jax.make_jaxpr(ours)(x, kernel))
    assert "custom_vjp_call" in program or kernel.shape[:2] == (1, 1)
    cotangent = draw(2, *shape)
    assert_equal(*(value_and_gradients(each, cotangent, x, kernel) for each in (ours, theirs)))


@pytest.mark.parametrize(("form", "convolutions"), [("grouped", 5), ("products", 0)])
def test_on_a_gpu_clients_convolutions_are_grouped_or_products_as_asked(form, convolutions):
    model = with_batched_kernels(cnn((28, 28, 1), 10), form)
    params = jax.eval_shape(model.init, jax.random.key(0))
    each = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((3, *leaf.shape), leaf.dtype), params)
    images = jax.ShapeDtypeStruct((3, 4, 28, 28, 1), jnp.float32)

    @jax.jit
    @jax.vmap
    def gradients(params, images):
        return jax.grad(lambda params: jnp.sum(model.apply(params, images)))(params)

    program = jax.export.export(gradients, platforms=["cuda"])(each, images).mlir_module()
    assert program.count("stablehlo.convolution") == convolutions


def test_no_strided_slice_is_fused_into_a_product_for_a_gpu():
    """Over such a product XLA's compiler for GPUs ends the process (XLA issue 47381)."""
    strided = with_own_gradients(lambda x, kernel: convolve(x, kernel, (2, 2)))
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in [(2, 8, 8, 3), (1, 1, 3, 4)]]
    program = jax.export.export(jax.jit(strided), platforms=["cuda"])(*shapes).mlir_module()
    order = [
        program.index(f"stablehlo.{name}") for name in ("slice", "optimization_barrier", "dot")
    ]
    assert order == sorted(order)


def test_there_is_no_third_form():
    with pytest.raises(ConfigError, match=r"'patches': expected one of grouped, products"):
        with_batched_kernels(cnn((28, 28, 1), 10), "patches")


@pytest.mark.parametrize(
    ("numbers", "shape", "window"),
    [
        (("NCHW", "OIHW", "NCHW"), (2, 3, 5, 6), (4, 3, 3, 2)),
        (("NHWC", "OIHW", "NCHW"), (2, 5, 6, 3), (4, 3, 3, 2)),
        (("CHWN", "IHWO", "HWNC"), (3, 5, 6, 2), (3, 3, 2, 4)),
        (("NWC", "WIO", "NWC"), (2, 6, 3), (2, 3, 4)),
        (("NDHWC", "DHWIO", "NDHWC"), (2, 4, 5, 6, 3), (2, 3, 2, 3, 4)),
    ],
)
def test_any_order_and_number_of_axes(numbers, shape, window):
    def function(x, kernel):
        space = len(shape) - 2
        return convolve(x, kernel, (2,) * space, ((1, 1),) * space, numbers)

    ours = with_own_gradients(function)
    x, kernel = draw(0, *shape), draw(1, *window)
    cotangent = draw(2, *function(x, kernel).shape)
    assert_equal(
        value_and_gradients(ours, cotangent, x, kernel),
        value_and_gradients(function, cotangent, x, kernel),
    )
    assert "custom_vjp_call" in str(jax.make_jaxpr(ours)(x, kernel))


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
@pytest.mark.parametrize("inner_axes", [None, (0, 0), (None, 0)])
def test_vmap_gives_what_a_loop_gives(axes, inner_axes):
    def sizes(place):
        outer = (3,) if axes[place] == 0 else ()
        return (*outer, 2) if inner_axes and inner_axes[place] == 0 else outer

    xs, kernels = draw(0, *sizes(0), 2, 6, 6, 2), draw(1, *sizes(1), 3, 3, 2, 4)

    def gradients(convolution):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(convolution(x, kernel)))

        one = jax.grad(loss, argnums=(0, 1))
        return jax.vmap(jax.vmap(one, inner_axes) if inner_axes else one, axes)

    got = jax.jit(gradients(with_own_gradients(same)))(xs, kernels)
    assert_equal(got, jax.jit(gradients(same))(xs, kernels))


def step(kernel, x):
    gradient = jax.grad(lambda kernel: jnp.sum(same(x, kernel) ** 2))(kernel)
    return kernel - 0.001 * gradient


NESTS = {
    "jit": lambda x, kernel: jax.jit(same)(x, kernel),
    "remat": lambda x, kernel: jax.checkpoint(lambda x: jnp.sin(same(x, kernel)))(x),
    "scan": lambda x, kernel: lax.scan(lambda x, k: (jnp.sin(same(x, k)), None), x, kernel[None])[
        0
    ],
    "cond": lambda x, kernel: lax.cond(
        x[0, 0, 0, 0] > 0, same, lambda x, k: 2 * same(x, k), x, kernel
    ),
    "vmap": lambda x, kernel: jax.vmap(same, (None, 0))(x, jnp.stack([kernel, 2 * kernel])).sum(0),
}


@pytest.mark.parametrize("nest", NESTS)
def test_convolutions_inside_are_replaced_too(nest):
    function = NESTS[nest]
    x, kernel = draw(0, 2, 6, 6, 2), draw(1, 3, 3, 2, 2)
    ours = with_own_gradients(function)
    cotangent = draw(2, *x.shape)
    assert_equal(
        value_and_gradients(ours, cotangent, x, kernel),
        value_and_gradients(function, cotangent, x, kernel),
    )
    if nest != "vmap":
        assert "custom_vjp_call" in str(jax.make_jaxpr(ours)(x, kernel))


def test_a_loop_that_trains_inside_the_function_is_entered():
    x, kernel = draw(0, 2, 6, 6, 2), draw(1, 3, 3, 2, 2)

    def train(kernel):
        return lax.fori_loop(0, 3, lambda _, kernel: step(kernel, x), kernel)

    np.testing.assert_allclose(with_own_gradients(train)(kernel), train(kernel), rtol=1e-5)


def test_gradient_inside_a_scan_is_the_gradient_outside():
    x, kernel = draw(0, 2, 6, 6, 2), draw(1, 3, 3, 2, 2)
    ours = with_own_gradients(same)

    def own_step(kernel, _):
        return kernel - 0.001 * jax.grad(lambda k: jnp.sum(ours(x, k) ** 2))(kernel), None

    expected = kernel
    for _ in range(3):
        expected = step(expected, x)
    looped, _ = lax.scan(own_step, kernel, None, length=3)
    np.testing.assert_allclose(looped, expected, rtol=1e-5, atol=1e-6)


def test_gradients_have_gradients():
    x, kernel = draw(0, 2, 6, 6, 2), draw(1, 3, 3, 2, 2)

    def second(function):
        def first(x):
            return jax.grad(lambda kernel: jnp.sum(jnp.sin(function(x, kernel))))(kernel)

        return jax.grad(lambda x: jnp.sum(first(x) ** 2))(x)

    theirs = second(same)
    np.testing.assert_allclose(
        second(with_own_gradients(same)), theirs, atol=1e-5 * float(jnp.abs(theirs).max())
    )


@pytest.mark.parametrize(
    "options",
    [
        {"padding": ((-1, 1), (0, 0))},
        {"lhs_dilation": (2, 2), "window_strides": (2, 1)},
        {"lhs_dilation": (2, 2), "padding": ((3, 1), (0, 0))},
        {"batch_group_count": 2},
    ],
)
def test_what_is_not_replaced_is_left_as_it_is(options):
    options = {"padding": ((1, 1), (1, 1)), "window_strides": (1, 1)} | options
    x, kernel = draw(0, 2, 6, 6, 4), draw(1, 3, 3, 4, 4)
    program = jax.make_jaxpr(
        lambda x, kernel: lax.conv_general_dilated(
            x, kernel, dimension_numbers=CHANNELS_LAST, **options
        )
    )(x, kernel)
    assert replace_layers(program).eqns == program.eqns


def test_a_derivative_rule_of_the_users_stays_hers():
    @jax.custom_vjp
    def hers(x, kernel):
        return same(x, kernel)

    hers.defvjp(
        lambda x, kernel: (hers(x, kernel), None),
        lambda _, gradient: (gradient * 0, jnp.ones((3, 3, 2, 2))),
    )
    x, kernel = draw(0, 2, 6, 6, 2), draw(1, 3, 3, 2, 2)
    loss = with_own_gradients(lambda kernel: jnp.sum(hers(x, kernel)))
    np.testing.assert_array_equal(jax.grad(loss)(kernel), np.ones((3, 3, 2, 2)))
