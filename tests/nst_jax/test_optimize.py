"""The optimisers on problems whose answers are known."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from flax import struct

from nst_jax import lbfgs, optimize, solvers
from nst_jax.compilation import Jit
from nst_jax.loop import chunk

pytestmark = pytest.mark.quick

SHAPE = (4, 5, 3)


def bowl(image, target):
    """A badly conditioned quadratic."""
    scale = jnp.linspace(1, 50, image.size).reshape(image.shape)
    value = jnp.sum(scale * (image - target) ** 2)
    return value, {"bowl": value}


class Problem(struct.PyTreeNode):
    """A function of an image and a target, to be minimised over images in [0, 1]."""

    target: jax.Array
    rate: jax.Array
    optimizer: str = struct.field(pytree_node=False)
    function: Callable = struct.field(pytree_node=False, default=bowl)

    @property
    def solver(self):
        return solvers.SOLVERS[self.optimizer](self.rate, bounds=(0.0, 1.0))

    def evaluate(self, image, step):
        (loss, terms), gradient = jax.value_and_grad(self.function, has_aux=True)(image, self.target)
        return optimize.Evaluation(image, loss, terms, gradient)

    def init(self, image):
        return self.solver.init(self.evaluate, image)

    def step(self, state):
        return self.solver.step(self.evaluate, state)


@functools.partial(jax.jit, static_argnames=("optimizer", "longest", "function"))
def run(target, image, rate, *, optimizer, longest, function=bowl):
    problem = Problem(target, rate, optimizer, function)
    start, _ = problem.step(problem.init(image))  # evaluates
    return jax.lax.scan(lambda state, _: problem.step(state), start, length=longest)


@pytest.fixture
def target():
    return jax.random.uniform(jax.random.key(0), SHAPE, minval=0.2, maxval=0.8)


@pytest.mark.parametrize(("optimizer", "rate", "steps"), [("adam", 0.05, 400), ("lbfgs", 1.0, 60)])
def test_reaches_the_minimum(optimizer, rate, steps, target):
    state, info = run(target, jnp.full(SHAPE, 0.5), rate, optimizer=optimizer, longest=steps)
    np.testing.assert_allclose(state.variables, target, atol=1e-3)
    assert int(state.step) == steps
    assert info.loss[-1] == state.evaluation.loss == info.terms["bowl"][-1]


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_stays_in_range_and_finds_the_minimum_there(optimizer):
    # Beyond the range in places: the best picture is the clipped target, since the bowl is separable.
    target = jax.random.uniform(jax.random.key(1), SHAPE, minval=-0.5, maxval=1.5)
    rate = {"adam": 0.05, "lbfgs": 1.0}[optimizer]
    state, _ = run(target, jnp.full(SHAPE, 0.5), rate, optimizer=optimizer, longest=400)
    assert state.variables.min() >= 0
    assert state.variables.max() <= 1
    np.testing.assert_allclose(state.variables, jnp.clip(target, 0, 1), atol=2e-3)


def test_adam_is_that_of_optax(target):
    steps = 20
    solver, image = optax.adam(0.01), jnp.full(SHAPE, 0.5)
    memory = solver.init(image)
    for _ in range(steps):
        gradient = jax.grad(lambda x: bowl(x, target)[0])(image)
        updates, memory = solver.update(gradient, memory)
        image = jnp.clip(optax.apply_updates(image, updates), 0, 1)
    state, _ = run(target, jnp.full(SHAPE, 0.5), 0.01, optimizer="adam", longest=steps)
    np.testing.assert_allclose(state.variables, image, atol=1e-6)


def rosenbrock(image, target):
    """Curved and not convex; minimum 0 at 1, seen through a shift so that the minimum is within the range."""
    x = 2 * (image.ravel() - target.ravel()) + 1
    value = jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    return value, {"rosenbrock": value}


def test_lbfgs_keeps_pace_with_scipy(target):
    start = jnp.full(SHAPE, 0.5)
    value_and_grad = jax.jit(jax.value_and_grad(lambda x: rosenbrock(x.reshape(SHAPE), target)[0]))
    reference = scipy.optimize.minimize(
        lambda x: tuple(np.float64(part) for part in value_and_grad(jnp.float32(x))),
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, 1)] * start.size,
        options={"maxfun": 150, "maxiter": 150},
    )
    state, info = run(target, start, 1.0, optimizer="lbfgs", longest=150, function=rosenbrock)
    first = rosenbrock(start, target)[0]
    # Both get far down; ours is allowed half of SciPy's progress in orders of magnitude.
    assert np.log10(first / state.evaluation.loss) > 0.5 * np.log10(first / max(reference.fun, 1e-6))
    assert (jnp.diff(info.loss) <= 0).all()


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_lbfgs_begins_anew_where_no_step_descends(scale):
    """A coupled, bounded quadratic, on which searches fail now and then, at scales of the losses of the literature."""
    random = np.random.default_rng(0)
    size = np.prod(SHAPE)
    rotation, _ = np.linalg.qr(random.normal(size=(size, size)))
    hessian = rotation * np.geomspace(1, 300, size) @ rotation.T
    centre = random.uniform(-0.5, 1.5, size)
    best = scipy.optimize.minimize(
        lambda x: (0.5 * (x - centre) @ hessian @ (x - centre), hessian @ (x - centre)),
        np.full(size, 0.5),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, 1)] * size,
        options={"maxiter": 2000, "maxfun": 5000, "ftol": 1e-12, "gtol": 1e-9},
    ).fun

    def quadratic(image, target):
        x = image.ravel() - target
        value = scale * 0.5 * x @ jnp.matmul(jnp.float32(hessian), x, precision="highest")
        return value, {"quadratic": value}

    state, info = run(
        jnp.float32(centre), jnp.full(SHAPE, 0.5), 1.0, optimizer="lbfgs", longest=300, function=quadratic
    )
    assert state.evaluation.loss / scale < 1.001 * best
    assert info.finite.all()


def hollow(image, target):
    """Hollows around a target, whose sides curve down from two thirds of their depth upwards."""
    value = jnp.sum(1 - jnp.exp(-jnp.square((image - target) / 0.15)))
    return value, {"hollow": value}


def test_lbfgs_does_not_creep_where_the_loss_curves_down():
    shape = (256, 256, 3)  # so many pixels that a first step of length 1 is a short one
    target = jax.random.uniform(jax.random.key(3), shape, minval=0.3, maxval=0.7)
    image = target + 0.25 * jnp.sign(jax.random.normal(jax.random.key(4), shape))
    state, info = run(target, image, 1.0, optimizer="lbfgs", longest=40, function=hollow)
    assert info.loss[0] > 0.9 * target.size  # up there
    assert state.evaluation.loss < 0.01 * target.size


def test_lbfgs_takes_about_one_evaluation_a_step(target):
    _, info = run(target, jnp.full(SHAPE, 0.5), 1.0, optimizer="lbfgs", longest=40)
    assert info.evaluations.mean() <= 1.35


def test_lbfgs_at_the_minimum_stays(target):
    state, info = run(target, target, 1.0, optimizer="lbfgs", longest=5)
    np.testing.assert_array_equal(state.variables, target)
    assert info.finite.all()


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_chunks_make_no_difference(optimizer, target):
    problem, image = Problem(target, jnp.float32(0.02), optimizer), jnp.full(SHAPE, 0.3)
    advance = jax.jit(chunk)
    start = jax.jit(lambda problem, image: problem.init(image))(problem, image)
    whole, whole_info = advance(problem, start, jnp.int32(12))
    state, losses = start, []
    for length in (1, 5, 0, 6):
        state, info = advance(problem, state, jnp.int32(length))
        losses += list(info.loss[:length])
    jax.tree.map(np.testing.assert_array_equal, state, whole)
    np.testing.assert_array_equal(losses, whole_info.loss[:12])


@pytest.mark.parametrize("optimizer", solvers.SOLVERS)
def test_variables_may_be_any_pytree(optimizer, target):
    """Halves of an image in a dictionary come to what the image comes to."""
    image = jnp.full(SHAPE, 0.5)

    def halves(image):
        return {"upper": image[:2], "lower": (image[2:],)}

    def of_halves(parts, target):
        return bowl(jnp.concatenate([parts["upper"], *parts["lower"]]), target)

    rate = {"adam": 0.05, "lbfgs": 1.0, "gradient": 0.01}[optimizer]
    whole, _ = run(target, image, rate, optimizer=optimizer, longest=20)
    parts, _ = run(target, halves(image), rate, optimizer=optimizer, longest=20, function=of_halves)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), parts.variables, halves(whole.variables))


@pytest.mark.parametrize("optimizer", solvers.SOLVERS)
def test_variables_are_mapped_wherever_they_are(optimizer, target):
    """An image turned by a map of the state goes on as the turned image would."""
    problem = Problem(target, jnp.float32(0.5), optimizer)
    turned = Problem(target[::-1], jnp.float32(0.5), optimizer, lambda image, target: bowl(image[::-1], target[::-1]))
    step = jax.jit(lambda problem, state: problem.step(state)[0])
    state = jax.jit(lambda problem, image: problem.init(image))(problem, jnp.full(SHAPE, 0.5))
    for _ in range(3):
        state = step(problem, state)
    mapped = optimize.map_variables(problem.solver, state, lambda values: jnp.flip(values, -3))
    for _ in range(3):
        state, mapped = step(problem, state), step(turned, mapped)
    np.testing.assert_allclose(mapped.variables, state.variables[::-1], atol=1e-5)


@pytest.mark.parametrize("decay", [0.99, 0.999])
def test_the_decay_of_adam_is_that_of_its_squares(decay, target):
    solver = solvers.solver_of("adam", adam_decay=decay)
    assert solver is solvers.solver_of("adam", adam_decay=decay)  # so that transfers share a program
    problem = Problem(target, jnp.float32(0.05), "adam")
    state = solver(0.05).init(problem.evaluate, jnp.full(SHAPE, 0.5))
    image, first, second = np.full(SHAPE, 0.5), 0.0, 0.0
    state, _ = solver(0.05).step(problem.evaluate, state)  # evaluates
    for number in range(1, 6):
        # Kingma & Ba 2015, algorithm 1.
        gradient = np.asarray(jax.grad(lambda x: bowl(x, target)[0])(jnp.float32(image)), np.float64)
        first, second = 0.9 * first + 0.1 * gradient, decay * second + (1 - decay) * gradient**2
        image = image - 0.05 * (first / (1 - 0.9**number)) / (np.sqrt(second / (1 - decay**number)) + 1e-8)
        state, _ = solver(0.05).step(problem.evaluate, state)
        np.testing.assert_allclose(state.variables, image, atol=1e-5)


def test_lbfgs_begins_anew_with_another_loss(target):
    every, steps, other = 5, 25, 1 - target

    def evaluate(values, number):
        (loss, terms), gradient = jax.value_and_grad(bowl, has_aux=True)(
            values, jnp.where(number // every % 2 == 0, target, other)
        )
        return optimize.Evaluation(values, loss, terms | {"number": number}, gradient)

    solver = lbfgs.lbfgs(bounds=(0.0, 1.0), change_every=every)
    state, _ = solver.step(evaluate, solver.init(evaluate, jnp.full(SHAPE, 0.5)))
    step = jax.jit(functools.partial(solver.step, evaluate))
    for number in range(1, steps):
        before = state
        state, info = step(before)
        assert state.step == info.terms["number"] == number
        if number % every == 0:  # the first of its loss
            np.testing.assert_array_equal(state.variables, before.variables)
            assert info.evaluations == 1
            np.testing.assert_allclose(info.loss, evaluate(before.variables, number).loss, rtol=1e-6)
            first = info.loss
        else:
            assert info.loss < before.evaluation.loss
    assert info.loss < 0.1 * first


@pytest.mark.parametrize("change_every", [0, 3])
@pytest.mark.parametrize("cells", [0, 1])
def test_lbfgs_copies_its_memory_neither_alone_nor_in_a_batch(cells, change_every):
    """The memory has 20 arrays of the picture's size; a copy of it, or a program repeated for each reader, shows."""
    size, solver = 100_000, lbfgs.lbfgs(change_every=change_every)

    def evaluate(values, _):
        loss, gradient = jax.value_and_grad(lambda values: jnp.sum(jnp.square(jnp.sin(values) * values - 1)))(values)
        return optimize.Evaluation(values, loss, {}, gradient)

    init, step = (functools.partial(function, evaluate) for function in (solver.init, solver.step))
    if cells:
        init, step = jax.vmap(init), jax.vmap(step)
    state = init(jnp.ones((cells, size) if cells else size))
    steps = Jit(lambda state: jax.lax.scan(lambda state, _: step(state), state, length=4), donate_argnums=0)
    assert steps.lower(state).compile().memory_analysis().temp_size_in_bytes < (6.5 if change_every else 6) * 4 * size


def test_adam_makes_its_new_moments_after_the_evaluation():
    """Which has arrays of its own, here rows of sixteen of the picture's size; moments beside them were two more."""
    size, solver = 100_000, optimize.adam(0.1)

    def evaluate(values, _):
        def loss(values):
            return jnp.sum(jnp.sin(jax.lax.optimization_barrier(jnp.outer(jnp.arange(16.0), values))))

        found, gradient = jax.value_and_grad(loss)(values)
        return optimize.Evaluation(values, found, {}, gradient)

    init, step = (functools.partial(function, evaluate) for function in (solver.init, solver.step))
    steps = Jit(lambda state: jax.lax.scan(lambda state, _: step(state), state, length=4), donate_argnums=0)
    program = steps.lower(init(jnp.ones(size))).compile()
    assert program.memory_analysis().temp_size_in_bytes < (3 * 16 + 2) * 4 * size


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_lanes_of_a_batch_equal_single_runs(optimizer):
    targets = jax.random.uniform(jax.random.key(2), (3, *SHAPE))
    rates = jnp.array([0.5, 0.7, 1.0]) * {"adam": 0.05, "lbfgs": 1.0}[optimizer]
    image = jnp.full(SHAPE, 0.5)
    batch, _ = jax.vmap(lambda t, r: run(t, image, r, optimizer=optimizer, longest=15))(targets, rates)
    for lane in range(3):
        single, _ = run(targets[lane], image, rates[lane], optimizer=optimizer, longest=15)
        np.testing.assert_allclose(batch.variables[lane], single.variables, atol=1e-5)


def cliff(image, target):
    """Fine above a half, no number below."""
    value = jnp.sum(image) + jnp.sum(jnp.where(image < 0.5, jnp.nan, 0.0)) + 0 * jnp.sum(target)
    return value, {"slope": jnp.sum(image), "cliff": value - jnp.sum(image)}


def test_adam_keeps_the_last_good_picture(target):
    state, info = run(target, jnp.full(SHAPE, 0.6), 0.04, optimizer="adam", longest=8, function=cliff)
    assert info.finite.tolist() == [True, True] + [False] * 6
    assert int(state.step) == 2
    assert jnp.isfinite(state.variables).all()
    assert state.variables.min() > 0.5
    assert jnp.isnan(info.terms["cliff"][2])
    assert jnp.isfinite(info.terms["slope"][2])


def test_lbfgs_does_nothing_more_where_it_has_diverged(target):
    def pit(image, target):
        """Finite where it starts, and nowhere else."""
        value, terms = bowl(image, target)
        return jnp.where(image[0, 0, 0] == 0.5, value, jnp.nan), terms

    state, info = run(target, jnp.full(SHAPE, 0.5), 1.0, optimizer="lbfgs", longest=4, function=pit)
    assert not info.finite.any()
    assert info.evaluations.tolist() == [1 + lbfgs.MOST_HALVINGS, 0, 0, 0]
    assert int(state.step) == 0
    assert (state.variables == 0.5).all()


def test_lbfgs_that_has_diverged_stays_so_with_another_loss(target):
    def evaluate(values, _):
        (loss, terms), gradient = jax.value_and_grad(bowl, has_aux=True)(values, target)
        return optimize.Evaluation(values, jnp.where(values[0, 0, 0] == 0.5, loss, jnp.nan), terms, gradient)

    solver = lbfgs.lbfgs(bounds=(0.0, 1.0), change_every=2)
    state, _ = solver.step(evaluate, solver.init(evaluate, jnp.full(SHAPE, 0.5)))
    for _ in range(4):
        state, info = solver.step(evaluate, state)
        assert not info.finite
        assert state.step == 0
        assert jnp.isfinite(state.evaluation.loss)
        assert (state.variables == 0.5).all()


def test_lbfgs_steps_back_from_a_cliff(target):
    state, info = run(target, jnp.full(SHAPE, 0.9), 1.0, optimizer="lbfgs", longest=4, function=cliff)
    assert info.finite.all()
    assert state.evaluation.loss < 0.9 * np.prod(SHAPE)
    assert state.variables.min() >= 0.5
