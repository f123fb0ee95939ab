"""From a clip to a clip: formats, planes, cuts, duplicates, borders, durations. Never imports the engine."""
