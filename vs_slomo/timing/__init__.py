"""When an output frame is shown, in exact fractions: positions, variable rates, retiming curves."""
