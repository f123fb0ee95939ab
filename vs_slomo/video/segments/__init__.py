"""A long render in segments: each is a file of its own, kept until all are there, and then joined without encoding.

`cut` says where, `folder` what is kept and of which command, `making` encodes one, `joining` joins them, `job` does it
all in one process; `cluster` has workers do it, by Ray.
"""
