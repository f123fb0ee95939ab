"""The filters themselves: slomo(), retime(), motion(), and the older methods beside them."""
