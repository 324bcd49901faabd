"""Ranks: processes that share a training, on the devices of one machine or of several.

`torchrun -m PACKAGE train` starts the command on each device. The first rank runs it, from the
data to the registry; the others wait for the calls that it shares out, and take part in each.

A rank that fails or is not heard of for a minute ends all others as if they had been killed:
started again, they go on with the same run from its checkpoint.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from coldstart.config._sections import NeuralSettings
from coldstart.config._settings import rank_of
from coldstart.errors import UserError

T = TypeVar("T")
Shared = Callable[[Fabric, T], Any]

MISTAKE = "a mistake of the user"  # key in the store of the ranks
ASK_SECONDS = 3.0  # for the store to say whether a mistake ended the others
LOST = dt.timedelta(minutes=1)  # without a heartbeat
BEAT = 5.0  # seconds between heartbeats to waiting ranks
LARGE = 1_000_000  # parameters of a layer that is sharded by itself


def make_fabric(settings: NeuralSettings, ranks: int = 1) -> Fabric:
    """Return Fabric for the processes that torchrun started, or that it starts itself.

    Raises
    ------
    UserError
        If a sharded training is not started by torchrun, or the accelerator is not there.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    devices, nodes = settings.devices, 1
    strategy: Strategy | str = "auto"
    if ranks > 1:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = ranks // devices
        if settings.strategy == "fsdp":
            strategy = ModelParallelStrategy(shard, ranks, 1, timeout=LOST)
        else:
            strategy = DDPStrategy(timeout=LOST)
    elif devices > 1:
        if settings.strategy == "fsdp":
            how = f"torchrun --nproc-per-node {devices} -m PACKAGE ..."
            raise UserError(f"strategy fsdp is for processes that torchrun starts: {how}")
        strategy = DDPStrategy(timeout=LOST, start_method="spawn")
    kind = settings.accelerator
    try:
        return Fabric(accelerator=kind, strategy=strategy, devices=devices, num_nodes=nodes)
    except RuntimeError as error:
        raise UserError(f"neural.accelerator: {kind} cannot be used here: {error}") from None


def shard(network: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Shard the parameters and the optimizer's state over the ranks."""
    for layer in network.modules():
        if sum(parameter.numel() for parameter in layer.parameters(recurse=False)) > LARGE:
            fully_shard(layer, mesh=mesh["data_parallel"])
    fully_shard(network, mesh=mesh["data_parallel"])
    return network


@functools.cache
def control() -> Any:
    """Create the group in which rank 0 controls the others, beside that of the gradients."""
    return dist.new_group(timeout=LOST, backend="gloo")


def broadcast(word: Any = None) -> Any:
    """Return the first rank's value on all ranks."""
    box = [word]
    dist.broadcast_object_list(box, src=0, group=control())
    return box[0]


def wait() -> None:
    """Wait for the first rank, as long as it sends heartbeats."""
    while not broadcast():
        pass


class Heartbeat:
    """Heartbeats to the waiting ranks, until the first one has finished its own work."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        done = False
        try:
            while not done:
                done = self.done.wait(BEAT)
                broadcast(done)
        except RuntimeError as error:
            abort(error)

    def stop(self) -> None:
        """Send the last heartbeat."""
        self.done.set()
        self.thread.join()


def on_rank_zero(fabric: Fabric, work: Callable[[], None]) -> None:
    """Run a function on the first rank alone, while the others wait."""
    if fabric.world_size == 1:
        work()
    elif fabric.is_global_zero:
        beat = Heartbeat()
        try:
            work()
        finally:
            beat.stop()
    else:
        wait()


class Leader:
    """The first of the ranks that torchrun started; between calls it works alone."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.beat = Heartbeat()

    def share(self, function: Shared[T], mine: T, theirs: T) -> Any:
        """Call a function on all ranks; return what it returns here."""
        self.beat.stop()
        try:
            broadcast((function, theirs))
            result = function(self.fabric, mine)
        except Exception as error:
            abort(error)
        self.beat = Heartbeat()
        return result


leader: Leader | None = None


def launch(settings: NeuralSettings, function: Shared[T], mine: T, theirs: T) -> Any:
    """Call a function on all ranks that torchrun started, or on as many as the settings request.

    Parameters
    ----------
    mine, theirs : object
        Arguments on the first rank and on the others.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if leader:
            return leader.share(function, mine, theirs)
        return make_fabric(settings).launch(function, mine)  # type: ignore[arg-type]


@contextmanager
def leading(settings: NeuralSettings) -> Iterator[None]:
    """Run as the first rank: the others take part in each launch, and end with this context."""
    global leader
    fabric = join(settings)
    ranks, size = fabric.world_size, settings.batch_size
    print(
        f"{ranks} ranks on {ranks // int(os.environ['LOCAL_WORLD_SIZE'])} machine(s), "
        f"{settings.strategy} over {dist.get_backend()}: they share batches of {size} rows, "
        f"{size / ranks:g} a rank; learning rate {settings.learning_rate:g}"
    )
    leader = Leader(fabric)
    try:
        yield
    finally:
        try:
            leader.beat.stop()
            broadcast(None)
            leave()
        except RuntimeError as error:
            abort(error)
        leader = None


def run_worker(settings: NeuralSettings) -> int:
    """Run as one of the other ranks; return an exit code."""
    fabric = join(settings)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while True:
                wait()
                call = broadcast()
                if call is None:
                    break
                function, argument = call
                function(fabric, argument)
    except Exception as error:
        abort(error)
    leave()
    return 0


def join(settings: NeuralSettings) -> Fabric:
    """Connect to the other ranks; gloo alone would try for four minutes."""
    patience = 2 * LOST.seconds
    watch = threading.Timer(patience, abort, [TimeoutError(f"it was not met in {patience} s")])
    watch.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fabric = make_fabric(settings, rank_of()[1])
        try:
            fabric.launch()
            control()
        except RuntimeError as error:
            abort(error)
    watch.cancel()
    return fabric


def leave() -> None:
    """Disconnect all ranks together: a message to a rank that has left would block."""
    dist.barrier(control())
    dist.destroy_process_group()


def abort(error: Exception) -> NoReturn:
    """End immediately, without cleanup: a run that is not marked as failed is resumed.

    The exit code is 2 for a mistake of the user, on the rank that found it and on those that
    lost that rank: with any other, the training would be started again.
    """
    rank, why = os.environ.get("RANK", os.environ.get("LOCAL_RANK")), str(error)
    code = 1
    if isinstance(error, UserError):
        code = 2
        note_mistake()
        print(f"error: {error}", file=sys.stderr)
    elif mistake_noted():
        code = 2
    elif isinstance(error, dist.DistError | TimeoutError) or "gloo" in why:
        why = (why.partition("] ")[2] or why).partition("\n")[0]
        print(f"rank {rank} ends, since it lost another: {why:.200}", file=sys.stderr)
        print("started again, the training goes on from its checkpoint", file=sys.stderr)
    else:
        traceback.print_exception(error)
    sys.stdout.flush()
    os._exit(code)  # standard error holds nothing back


def note_mistake() -> None:
    """Note for the other ranks that this one ends by a mistake of the user."""
    with contextlib.suppress(Exception):  # the store ends with the first machine
        dist.distributed_c10d._get_default_store().set(MISTAKE, "1")


def mistake_noted() -> bool:
    """Return whether another rank has ended by a mistake of the user.

    A machine that vanished may hold the store. It is asked for a moment only, in a thread, since
    the store's own time limit is minutes.
    """
    found = []

    def ask() -> None:
        with contextlib.suppress(Exception):  # there is no store yet, or not any more
            found.append(dist.distributed_c10d._get_default_store().check([MISTAKE]))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ASK_SECONDS)
    return any(found)
