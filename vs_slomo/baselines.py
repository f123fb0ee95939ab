"""The older methods, under the name by which scripts import them; `filters.baselines` has them."""

from .filters.baselines import blend, flow, mc, sample

__all__ = ["blend", "flow", "mc", "sample"]
