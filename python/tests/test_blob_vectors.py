"""Every vector of the blob specification, through the Python door: bytes, types, dtypes, shapes and bit patterns."""

import datetime
import json
import uuid
import zlib
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from lodestore import blob
from lodestore.blob import MatCell, MatStruct
from lodestore.errors import DataJointError

VECTORS = Path(__file__).parents[2] / "crates/lodestore/tests/vectors/blob_vectors.json"
DOCUMENT = json.loads(VECTORS.read_text())


def evaluate(expression):
    names = {"MatCell": MatCell, "MatStruct": MatStruct}
    exec(DOCUMENT["prelude"], names)
    return eval(expression, names)


def of_kind(*kinds):
    found = [v for v in DOCUMENT["vectors"] if v["kind"] in kinds]
    assert found
    return pytest.mark.parametrize("vector", found, ids=[v["id"] for v in found])


def bits(value):
    """A form of the value in which equal means: same types, dtypes, shapes and bit patterns. Sets are unordered."""
    if isinstance(value, np.ndarray):
        head = (type(value).__name__, str(value.dtype), value.shape)
        if value.dtype.names is not None:
            return (*head, tuple(bits(np.ndarray.__getitem__(value, name)) for name in value.dtype.names))
        if value.dtype.hasobject:
            flat = np.asarray(value).reshape(-1)
            return (*head, tuple(bits(flat[i]) for i in range(flat.size)))
        return (*head, np.ascontiguousarray(value).tobytes())
    if isinstance(value, np.generic):
        return (type(value).__name__, str(value.dtype), value.tobytes())
    if isinstance(value, float):
        return (type(value).__name__, np.float64(value).tobytes())
    if isinstance(value, complex):
        return (type(value).__name__, np.complex128(value).tobytes())
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, tuple(bits(item) for item in value))
    if isinstance(value, (set, frozenset)):
        return (type(value).__name__, frozenset(bits(item) for item in value))
    if isinstance(value, dict):
        return (type(value).__name__, tuple((bits(k), bits(v)) for k, v in value.items()))
    if isinstance(value, Decimal):
        return ("Decimal", value.as_tuple())
    plain = (type(None), bool, int, str, bytes, datetime.date, datetime.time, datetime.datetime, uuid.UUID)
    assert isinstance(value, plain), f"a value of type {type(value)} is not compared"
    return (type(value).__name__, value)


def unpack(vector, field="hex"):
    return blob.unpack(bytes.fromhex(vector[field]))


@of_kind("roundtrip", "encode_better")
def test_a_value_is_written_as_the_vector_says(vector):
    assert blob.pack(evaluate(vector["expr"]), compress=False).hex() == vector["hex"]


@of_kind("roundtrip")
def test_what_the_reference_wrote_reads_exactly(vector):
    expected = bits(evaluate(vector["expected_expr"]))
    for field in ("hex", "envelope_hex", "packed_hex"):
        if vector[field] is not None:
            assert bits(unpack(vector, field)) == expected, field


@of_kind("roundtrip")
def test_compression_changes_nothing_but_bytes(vector):
    value = evaluate(vector["expr"])
    packed = blob.pack(value)
    if vector["packed_hex"] is None:
        assert packed.hex() == vector["hex"]
    assert bits(blob.unpack(packed)) == bits(evaluate(vector["expected_expr"]))


@of_kind("decode", "encode_better")
def test_every_layout_reads(vector):
    if "sparse" in vector["id"]:
        pytest.importorskip("scipy")
    value = unpack(vector)
    expected = evaluate(vector["expected_expr"])
    if "sparse" in vector["id"]:
        assert type(value).__name__ == "csc_matrix"
        assert np.array_equal(value.toarray(), expected)
    else:
        assert bits(value) == bits(expected)


@pytest.mark.parametrize("vector", [v for v in DOCUMENT["vectors"] if v.get("dims") == 32], ids=lambda v: v["id"])
def test_thirty_two_bit_blobs_read_with_the_flag_too(vector, monkeypatch):
    monkeypatch.setattr(blob, "use_32bit_dims", True)
    assert bits(unpack(vector)) == bits(evaluate(vector["expected_expr"]))


@of_kind("encode_error")
def test_a_value_without_a_form_is_refused(vector):
    with pytest.raises(DataJointError):
        blob.pack(evaluate(vector["expr"]))


@of_kind("malformed")
def test_malformed_bytes_are_an_error(vector):
    with pytest.raises(DataJointError):
        unpack(vector)


@pytest.mark.parametrize("megabytes", [0.3, 3, 20])
def test_large_traces_are_zlib_streams_that_anybody_reads(megabytes):
    rng = np.random.default_rng(1)
    traces = rng.normal(0, 30, int(megabytes * 500_000)).astype("i2")
    packed = blob.pack(traces)
    assert packed.startswith(b"ZL123\0")
    assert len(packed) < 0.95 * traces.nbytes
    payload = zlib.decompress(packed[14:])
    assert payload.endswith(traces.tobytes())
    assert np.array_equal(blob.unpack(packed), traces)
