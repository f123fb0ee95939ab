"""A loaded model on a device: tensors in, frames out. Needs torch, not VapourSynth."""
