"""From a video file to a video file."""
