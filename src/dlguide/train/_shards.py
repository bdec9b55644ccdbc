"""Checkpoints of several processes: a folder to which each adds its part, and which any number of them can read.

    step-000000123/
        rank-00000.pt ...    what is no tensor of the model or the optimizer, of each process: counters, random numbers,
                         and the checksums of its parts of the tensors
        __0_0.distcp ...     the tensors, each process its part (torch.distributed.checkpoint)
        .metadata            which part of which tensor lies where

The folder gets its name when it is complete.
"""

from __future__ import annotations

import pickle
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dlguide.train import _files as files
from dlguide.train.distributed import (
    gathered,
    is_distributed,
    is_sharded,
    plain,
    rank,
    share_buffers,
    total,
    world_size,
)

if TYPE_CHECKING:
    from dlguide.train.trainer import Trainer

TENSORS_OF = ("model", "optimizer", "callbacks")  # equal in all processes, or parts of one tensor
Key = tuple[str | int, ...]


def write(path: Path, trainer: Trainer) -> None:
    """Write the state of all processes; every process calls it."""
    import torch.distributed.checkpoint as dcp

    part = path.with_name(path.name + ".part")
    if rank() == 0:
        shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
        part.mkdir(parents=True)
    total(0, False, trainer.device)  # wait for the folder
    share_buffers(trainer.model)
    state = trainer.state_dict()
    tensors: dict[Key, Tensor] = {}
    rest = {key: _without(value, (key,), tensors) if key in TENSORS_OF else value for key, value in state.items()}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="TypedStorage is deprecated")  # torch 2.10 warns of its own code
            named = {_name(key): tensor for key, tensor in tensors.items()}
            dcp.save(named, storage_writer=dcp.FileSystemWriter(part))
    except dcp.CheckpointException as error:  # in all processes, if one of them cannot write
        if rank() == 0:
            shutil.rmtree(part, ignore_errors=True)
        raise OSError(f"{path} cannot be written ({_reason(error)}): is there room on the disk?") from error
    rest["checksums"] = {file.name: files.checksum(file) for file in part.glob(f"__{rank()}_*.distcp")}
    files.write(part / f"rank-{rank():05}.pt", {**rest, "world_size": world_size(), "keys": list(tensors)})
    total(0, False, trainer.device)  # wait for the files of all
    if rank() == 0:
        files.put_in_place(part, path)
    total(0, False, trainer.device)  # wait for the name


def read(path: Path, trainer: Trainer) -> dict[str, Any]:
    """Read the state for this process, of as many processes as there are now."""
    processes = _rest(path, 0)["world_size"]  # those that saved
    _check(path, processes)
    saved = _rest(path, rank() if rank() < processes else 0)
    if processes != world_size():  # the first process takes over what all have added up in this epoch
        saved["sums"]["values"] = sum(_rest(path, r)["sums"]["values"] for r in range(processes))
    _begin_late(saved, trainer, processes)
    keys = {_name(key): key for key in saved.pop("keys")}
    del saved["world_size"], saved["checksums"]
    for name, tensor in _tensors(path, trainer, keys).items():
        _put(saved, keys[name], tensor)
    return saved


def _check(path: Path, processes: int) -> None:
    """Compare the bytes with their checksums, each process those of some; if one finds damage, all say so."""
    damage = None
    try:
        for number in range(rank(), processes, world_size()):
            for name, checksum in _rest(path, number)["checksums"].items():
                if files.checksum(path / name) != checksum:
                    raise files.incomplete(path, f"the bytes of {name} have changed")
    except OSError as error:
        damage = str(files.incomplete(path, str(error)))
    except ValueError as error:
        damage = str(error)
    for found in gathered(damage):
        if found is not None:
            raise ValueError(found)


def _begin_late(saved: dict[str, Any], trainer: Trainer, processes: int) -> None:
    """Let a process that was not among those that saved begin with its own random numbers, and count from 0."""
    if processes != world_size() and rank() > 0:
        saved["sums"]["values"] = torch.zeros_like(saved["sums"]["values"])
    if rank() >= processes:
        saved["random"], saved["random_at_epoch"] = None, trainer.random.state()


def as_spread(saved: dict[str, Any], trainer: Trainer) -> dict[str, Any]:
    """Fit the state of one process to several: cut its whole tensors into parts where the model is cut."""
    _begin_late(saved, trainer, 1)
    likes = _Likes(trainer)
    tensors: dict[Key, Tensor] = {}
    for key in TENSORS_OF:
        _without(saved.get(key), (key,), tensors)
    for where, tensor in tensors.items():
        like = likes.of(where, tensor.shape)
        if like is not None:
            from torch.distributed.tensor import distribute_tensor

            whole = tensor.to(trainer.device)  # each process has read it: nothing is sent
            _put(saved, where, distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None))
    return saved


class _Likes:
    """Which tensor of the trainer a saved one belongs to, and with it how it is cut into parts."""

    def __init__(self, trainer: Trainer) -> None:
        self.model: Mapping[str, Any] = plain(trainer.model).state_dict()
        self.parameters = [p for group in trainer.optimizer.param_groups for p in group["params"]]

    def of(self, key: Key, shape: torch.Size) -> Any:
        """Return the sharded tensor of the same whole shape, None if it is not sharded."""
        like: Any = None
        if key[:2] == ("optimizer", "state"):  # then come the number of the parameter and a name
            like = dict(enumerate(self.parameters)).get(int(key[2]))
        else:  # of the model, or what a callback keeps under the same name
            like = self.model.get(str(key[-1]))
        return like if is_sharded(like) and like.shape == shape else None


def _tensors(path: Path, trainer: Trainer, keys: Mapping[str, Key]) -> dict[str, Tensor]:
    """Read the tensors, of a sharded one only the part of this process."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

    class Reader(dcp.FileSystemReader):
        def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
            try:
                with (path / ".metadata").open("rb") as file:
                    metadata = _Unpickler(file).load()
                metadata.storage_meta.load_id = self.load_id
            except (OSError, EOFError, AttributeError, TypeError, ValueError, pickle.UnpicklingError) as error:
                raise ValueError(f"{path / '.metadata'} cannot be read ({error})") from error
            return metadata

    reader, likes = Reader(path), _Likes(trainer)
    tensors: dict[str, Any] = {}
    for name, stored in reader.read_metadata().state_dict_metadata.items():
        assert isinstance(stored, TensorStorageMetadata)  # `write` saves nothing else
        like, dtype = likes.of(keys[name], stored.size), stored.properties.dtype
        tensors[name] = torch.empty(stored.size, dtype=dtype) if like is None else torch.zeros_like(like, dtype=dtype)
    with warnings.catch_warnings():
        if not is_distributed():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process may read it
        try:
            dcp.load(tensors, storage_reader=reader)
        except dcp.CheckpointException as error:
            raise files.incomplete(path, _reason(error)) from error
    return tensors


class _Unpickler(pickle.Unpickler):
    """Reads the index of a checkpoint; anything else in it, such as code to run, is refused."""

    def find_class(self, module: str, name: str) -> Any:
        names = "Metadata MetadataIndex TensorStorageMetadata TensorProperties ChunkStorageMetadata StorageMeta"
        known = {
            "torch.distributed.checkpoint.metadata": f"{names} BytesStorageMetadata _MEM_FORMAT_ENCODING",
            "torch.distributed.checkpoint.filesystem": "_StorageInfo",
            "torch.serialization": "_get_layout",
            "pathlib": "PosixPath PurePosixPath WindowsPath PureWindowsPath",
            "torch": "Size float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128",
        }
        if name not in known.get(module, "").split():
            raise pickle.UnpicklingError(f"expected the index of a checkpoint, found {module}.{name}")
        return super().find_class(module, name)


def _rest(path: Path, number: int) -> dict[str, Any]:
    return files.read(path / f"rank-{number:05}.pt", whole=path)


def _reason(error: Any) -> str:
    """What the first process met that failed; torch's own text has the traceback of each."""
    met, _ = next(iter(error.failures.values()))
    return str(met).split("\n", 1)[0] or type(met).__name__


def _without(value: Any, key: Key, tensors: dict[Key, Tensor]) -> Any:
    """Copy dicts and lists without their tensors, which are put aside under their keys."""
    if isinstance(value, Tensor):
        tensors[key] = value
        return None
    if isinstance(value, Mapping):
        return {name: _without(inner, (*key, name), tensors) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, (*key, number), tensors) for number, inner in enumerate(value)]
    return value


def _put(saved: Any, key: Key, tensor: Tensor) -> None:
    """Put a tensor where `_without` took it out."""
    for name in key[:-1]:
        saved = saved[name]
    saved[key[-1]] = tensor


def _name(key: Key) -> str:
    return "/".join(map(str, key))
