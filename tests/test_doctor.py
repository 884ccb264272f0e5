"""The report is of this machine, and says what is not there."""

import os
import platform

import flax
import jax
import numpy as np
import pytest

from jnets import doctor


def test_versions_are_those_that_run():
    rows = dict(doctor.report())
    assert rows["python"].startswith(f"{platform.python_version()} on ")
    assert rows["jax"] == jax.__version__
    assert rows["flax"] == flax.__version__
    assert rows["numpy"] == np.__version__


def test_every_row_is_named_once_and_says_something():
    rows = doctor.report()
    assert len(dict(rows)) == len(rows)
    assert all(isinstance(value, str) and value.strip() for _, value in rows)
    assert all("\n" not in name + value for name, value in rows)


def test_devices_and_settings():
    rows = dict(doctor.report())
    assert rows["backend"] == "cpu"
    for device in jax.devices():
        assert rows[f"device {device.id}"].startswith(device.device_kind)
    assert rows["host cores"] == str(os.cpu_count())
    assert rows["64-bit"] == "False"
    assert rows["XLA_FLAGS"] == os.environ["XLA_FLAGS"]


def test_settings_follow_the_environment(monkeypatch, x64):
    monkeypatch.delenv("XLA_FLAGS")
    name = "XLA_PYTHON_CLIENT_MEM_FRACTION"
    monkeypatch.delenv(name, raising=False)
    rows = dict(doctor.report())
    assert rows["XLA_FLAGS"] == "not set"
    assert rows["64-bit"] == "True"
    assert rows[name].startswith("not set (")
    monkeypatch.setenv(name, "0.5")
    assert dict(doctor.report())[name] == "0.5"


def test_memory_of_a_device_that_counts_it():
    class Device:
        def __init__(self, stats):
            self.stats = stats

        def memory_stats(self):
            return self.stats

    stats = {"bytes_in_use": 3 * 2**29, "bytes_limit": 64 * 2**30}
    assert doctor._memory(Device(stats)) == ", 1.5 of 64.0 GiB in use"
    for nothing in (None, {}, {"bytes_in_use": 5}):
        assert doctor._memory(Device(nothing)) == ""


@pytest.mark.parametrize("package", ["numpy", "jaxlib"])
def test_version(package):
    assert doctor.version(package)[0].isdigit()


def test_a_package_that_is_not_there():
    assert doctor.version("jnets-of-nowhere") == "not installed"
