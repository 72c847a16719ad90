"""What the trainer gets: stage shards, their manifest, the check of both, and the loader.

A *stage shard* is a Parquet file of training sequences that are already in training order; a
stage's directory holds its shards and a `manifest.json`, written last, that says what they are.
A run's directory of stages holds a `run.json` that says in which order they are trained.
This room needs numpy and pyarrow and nothing else, so that a trainer can import it.
"""

from cuvee.handoff.batches import Batch
from cuvee.handoff.loader import StageLoader
from cuvee.handoff.manifest import read_manifest
from cuvee.handoff.run_loader import RunLoader, StageStart
from cuvee.handoff.verify import verify_stage

__all__ = ["Batch", "RunLoader", "StageLoader", "StageStart", "read_manifest", "verify_stage"]
