"""Tests run the kernels of the code as it is."""

from cuvee.flows.kernels import drop_stale

drop_stale()
