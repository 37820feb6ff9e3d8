"""What the real Orbax and TensorStore make of a folder, beside what was written into it."""
import functools
import pathlib

import jax
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import orbax.checkpoint.experimental.v1 as ocp1
import tensorstore as ts


@functools.cache
def values(file: str, dtype: str, shape: tuple):
    kind = np.dtype(getattr(ml_dtypes, dtype, None) or dtype)
    return np.frombuffer(pathlib.Path(file).read_bytes(), kind).reshape(shape)


def leaves(tree, path=()):
    """(path, leaf) of all leaves; of a node without any, (path, "{}"), and of None (path, "None")."""
    if tree is None:
        yield path, "None"
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, path + (key,))
        if not tree:
            yield path, "{}"
    elif isinstance(tree, (list, tuple)):
        for place, value in enumerate(tree):
            yield from leaves(value, path + (str(place),))
    else:
        yield path, tree


def expected_leaves(case, arrays):
    want = {tuple(a["path"]): values(a["file"], a["dtype"], tuple(a["shape"])) for a in arrays}
    return want | {tuple(p): "{}" for p in case["empty"]} | {tuple(p): "None" for p in case["none"]}


def differences(where, tree, want):
    got = dict(leaves(tree))
    for path in sorted(set(got) ^ set(want)):
        yield f"{where}: {path}: {'missing' if path in want else 'too much'}"
    for path in sorted(set(got) & set(want)):
        a, b = got[path], want[path]
        if isinstance(a, str) or isinstance(b, str):
            if not (isinstance(a, str) and a == b):
                yield f"{where}: {path}: {a} instead of {b}"
            continue
        a = np.asarray(a)
        if a.dtype != b.dtype or a.shape != b.shape:
            yield f"{where}: {path}: {a.dtype}{a.shape} instead of {b.dtype}{b.shape}"
        elif a.tobytes() != b.tobytes():
            yield f"{where}: {path}: other bytes"


def restored(items, restore_args_of):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        tree = checkpointer.metadata(items).item_metadata.tree
        args = jax.tree.map(restore_args_of, tree)
        return checkpointer.restore(items, args=ocp.args.PyTreeRestore(restore_args=args))


def split_over_devices(metadata):
    """Each device reads its part of the first axis that four devices can share."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("x",))
    axis = next((i for i, size in enumerate(metadata.shape) if size % 4 == 0), None)
    spec = jax.sharding.PartitionSpec(*(() if axis is None else (None,) * axis + ("x",)))
    return ocp.ArrayRestoreArgs(sharding=jax.sharding.NamedSharding(mesh, spec), dtype=metadata.dtype)


def open_array(items, case, name):
    store = {"driver": "file", "path": f"{items}/"}
    if case["ocdbt"]:
        store = {"driver": "ocdbt", "base": store}
    return ts.open({"driver": "zarr3" if case["zarr3"] else "zarr", "kvstore": store, "path": f"{name}/"}).result()


def tensorstore_problems(items, case, arrays):
    """Type, shape and chunks by TensorStore itself, and a box of each array that begins and ends inside chunks."""
    for a in arrays:
        name = ".".join(a["path"])
        array = open_array(items, case, name)
        want = values(a["file"], a["dtype"], tuple(a["shape"]))
        if array.dtype.name != a["dtype"] or array.shape != want.shape:
            yield f"TensorStore: {name}: {array.dtype.name}{array.shape}"
            continue
        if a["chunk"] is not None and list(array.chunk_layout.write_chunk.shape or []) != a["chunk"]:
            yield f"TensorStore: {name}: chunks of {array.chunk_layout.write_chunk.shape}"
        box = tuple(slice(size // 3, size - size // 4) for size in want.shape)
        if array[box].read().result().tobytes() != want[box].tobytes():
            yield f"TensorStore: {name}: other bytes in {box}"


def step_problems(step, case, want):
    """The step folder as a whole: what Orbax's newer interface reads into a given tree, and what it says."""
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    target = {}
    for path, leaf in want.items():
        node = target
        for key in path[:-1]:
            node = node.setdefault(key, {})
        empty = {"{}": {}, "None": None}
        node[path[-1]] = empty[leaf] if isinstance(leaf, str) else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device)
    for *above, last in case.get("lists", []):
        node = functools.reduce(lambda tree, key: tree[key], above, target)
        node[last] = [node[last][str(place)] for place in range(len(node[last]))]
    yield from differences("Orbax v1", ocp1.load_pytree(step, target, checkpointable_name="items"), want)
    custom = ocp1.metadata(step).custom_metadata or {}
    said = {"scan_layers": case["scan_layers"]} if case["says_scan_layers"] else {}
    if custom != said:
        yield f"Orbax v1: it says {custom} instead of {said}"


def problems(step, case, arrays):
    items = step / "items"
    want = expected_leaves(case, arrays)
    found = list(differences("PyTree", restored(items, lambda _: ocp.RestoreArgs(restore_type=np.ndarray)), want))
    found += differences("PyTree on four devices", restored(items, split_over_devices), want)
    with ocp.StandardCheckpointer() as checkpointer:
        found += differences("Standard", checkpointer.restore(items), want)
    found += tensorstore_problems(items, case, arrays)
    found += step_problems(step, case, want)
    return [f"{case['name']}: {line}" for line in found]
