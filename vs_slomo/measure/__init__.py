"""How good and how fast: scores, comparisons, timings, the demonstration."""
