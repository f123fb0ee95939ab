"""What a node is fed, by name."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest
import vapoursynth as vs
from clips import core, moving

from vs_slomo.clips.cuts import NEXT
from vs_slomo.filters.inputs import Inputs, PairInputs, SourceInputs
from vs_slomo.filters.options import check_options
from vs_slomo.filters.pairs import frame_inputs
from vs_slomo.model.flow import FLOWS
from vs_slomo.timing.positions import Timing


@dataclass(frozen=True)
class Two(Inputs):
    """A record for these tests: the values may be anything."""

    one: object
    two: object = None
    inner: Two | None = None


def test_frames_come_back_by_name():
    fed = Two("a", inner=Two("b", "c"))
    assert fed.clips == ["a", "b", "c"]
    frames = fed.frames([1, 2, 3])
    assert (frames.one, frames.two, frames.inner.one, frames.inner.two) == (1, None, 2, 3)


def test_every_clip_can_be_changed():
    assert Two("a", inner=Two("b", "c")).each(str.upper) == Two("A", inner=Two("B", "C"))


@pytest.mark.parametrize("count", [1, 3])
def test_frames_without_a_clip_are_an_error(count):
    with pytest.raises(ValueError, match=f"Two: got {count} frames, allowed: 2, one for a clip"):
        Two("a", "b").frames([0] * count)


def test_a_pair_and_its_neighbours():
    plain = PairInputs(first=SourceInputs(native=1), second=SourceInputs(native=2), plan="plan")
    assert plain.previous_pair is plain.next_pair is None


NUMBERED = moving(vs.GRAY8, 32, 32, length=8)


def numbered(n, f):
    out = f.copy()
    out.props["N"] = n
    return out


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("n", [3, 4])
def test_what_a_pair_is_made_from(shifting_model, flow, n):
    """Output frame n of multi 2 lies between source frames n // 2 and n // 2 + 1."""
    clip = NUMBERED.std.ModifyFrame(NUMBERED, numbered)
    cut = core.std.BlankClip(width=16, height=16, format=vs.GRAY8, length=8, keep=True)
    cut = cut.std.ModifyFrame(cut, lambda n, f: set_cut(f, n == 2))
    options = check_options((32, 32), model=shifting_model, device="cpu", scale=0.5, flow=flow, curved=True)
    fed = frame_inputs(clip, Timing(8, Fraction(2)), options, cut)
    given = fed.frames([node.get_frame(n) for node in fed.clips])
    k = n // 2
    for source, number in (
        (given.around.previous, k - 1),
        (given.first, k),
        (given.second, k + 1),
        (given.around.next, k + 2),
    ):
        assert source.native.props["N"] == number
        assert (source.network is not None) == FLOWS[flow].needs_colour
        if source.network is not None:
            assert source.network.props["N"] == number
            assert (source.network.width, source.network.height) == (16, 16)
        assert (source.gray is not None) == FLOWS[flow].needs_gray
        if source.gray is not None:
            assert (source.gray.width, source.gray.props["N"]) == (32, number)
    previous, following = given.previous_pair, given.next_pair
    assert [x.native.props["N"] for x in (previous.first, previous.second)] == [k - 1, k]
    assert [x.native.props["N"] for x in (following.first, following.second)] == [k + 1, k + 2]
    assert [x.plan.props[NEXT] for x in (previous, given, following)] == [int(k + o == 2) for o in (-1, 0, 1)]


def set_cut(frame, cut):
    out = frame.copy()
    out.props[NEXT] = int(cut)
    return out
