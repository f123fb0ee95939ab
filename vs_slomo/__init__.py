"""Super SloMo as a VapourSynth filter."""
