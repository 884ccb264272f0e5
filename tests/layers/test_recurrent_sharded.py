"""A batch spread over four devices, in a process of its own that has them."""

import os
import subprocess
import sys

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from jnets.layers import LSTM

assert len(jax.devices()) == 4
mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))
layer = LSTM(hidden=6, num_layers=2, bidirectional=True, projection=5)
rng = np.random.default_rng(0)
x = rng.normal(size=(8, 5, 3)).astype(np.float32)
lengths = np.array([5, 0, 3, 1, 2, 5, 4, 5], np.int32)
variables = layer.init(jax.random.key(0), x)

@jax.jit
def step(variables, x, lengths):
    def loss(variables):
        outputs, final = layer.apply(variables, x, lengths=lengths)
        return (outputs**2).sum() + final.c.sum(), outputs
    return jax.value_and_grad(loss, has_aux=True)(variables)

one = step(variables, x, lengths)
rows, all_of_it = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
spread = [jax.device_put(a, rows) for a in (x, lengths)]
four = step(jax.device_put(variables, all_of_it), *spread)
(_, outputs), gradients = four
assert outputs.sharding.spec[0] == "data", outputs.sharding
assert {s.data.shape for s in outputs.addressable_shards} == {(2, 5, 10)}
for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(four), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
print("equal")
"""


def test_four_devices_equal_one():
    flags = "--xla_force_host_platform_device_count=4"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "equal\n"
