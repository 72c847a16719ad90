"""Mixing: which pool each position of each stage reads, proven and planned as plain values.

A recipe's stages are settled in the order of their lineage (`settled`): shares are resolved
(`shares`), phases laid out in whole steps (`flat`), weights frozen into integers (`ramps`), and
integers become a schedule that is right at every prefix (`quota`). Documents are drawn in a keyed
order (`order`, `cursor`), and whether the sources can give what the stages need is settled before
any work starts (`feasible`).
"""
