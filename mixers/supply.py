"""What repeated tokens are worth."""

import math

REPETITION_DECAY = 15.39  # R*, in repetitions; Muennighoff et al. 2023, arXiv 2305.16264


def effective_tokens(unique: int, epochs: float) -> float:
    """Return how many fresh tokens are worth as much as `unique` tokens read `epochs` times.

    D' = U + U R* (1 - exp(-R / R*)) with R = epochs - 1 repetitions, Muennighoff et al. 2023; up
    to one epoch every token is fresh.

    >>> [round(effective_tokens(100, epochs)) for epochs in (0.5, 1, 2, 4, 7)]
    [50, 100, 197, 373, 597]
    """
    fresh, repetitions = min(1.0, epochs), max(0.0, epochs - 1)
    return unique * (fresh - REPETITION_DECAY * math.expm1(-repetitions / REPETITION_DECAY))
