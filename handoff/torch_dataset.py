"""What torch's DataLoader asks of a loader, without importing torch."""

import sys

from cuvee.configs.errors import RequestError


def join_torch(loader: type) -> None:
    """Make a loader's class a torch IterableDataset if torch is loaded and it is not one yet."""
    data = sys.modules.get("torch.utils.data")
    # Not issubclass: abstract classes remember a no, and would go on saying it.
    if data is not None and data.IterableDataset not in loader.__mro__:
        loader.__bases__ = (*loader.__bases__, data.IterableDataset)


def refuse_workers() -> None:
    """Refuse to run in a worker process of torch's DataLoader."""
    data = sys.modules.get("torch.utils.data")
    if data is not None and data.get_worker_info() is not None:
        raise RequestError(
            "StageLoader runs in a DataLoader with worker processes, each with its own state.",
            "It reads hundreds of millions of tokens a second without them.",
            "Give num_workers=0.",
        )
