"""The paper's two networks and what is done around them. Needs torch, not VapourSynth."""
