"""Calls that type checkers in strict mode refuse, each line of them."""

# pyright: reportAttributeAccessIssue=true

import vapoursynth as vs

import vs_slomo
from vs_slomo import motion, retime, slomo, source

clip: vs.VideoNode = source("input.mp4")

slomo(clip, flow="raft")
slomo(clip, precision="half")
slomo(clip, sc_action="drop")
slomo(clip, scale="half")
slomo(clip, debug="motion")
slomo(clip, range=2)
slomo(clip, speed=2)
retime(clip, [(0, 0), (1, 1)], unit="minutes")
retime(clip, [(0, 0), (1, 1)], flow="raft")
motion(clip, fast=True)
motion(clip).sideways
vs_slomo.slow  # no such name
