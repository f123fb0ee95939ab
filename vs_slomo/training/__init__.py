"""Training: data, losses, the loop. It needs torch and OpenCV, never VapourSynth."""
