"""`render` and `encode`, under the name by which scripts import them; the work is done in `video`."""

from .video.render import Tracks, encode, graph, render

__all__ = ["Tracks", "encode", "graph", "render"]
