"""What a station remembers: a journal of verdicts, the images of parts, and the audit of both."""

GOODS_EVERY = 100
"""Of so many goods the image of one is kept, unless another number is given."""

LARGEST_IMAGES = 50 * 2**30
"""Bytes that all kept images take, unless another number is given."""
