"""Near-duplicate photographs: turned, mirrored, shifted, in other light or compressed anew, yet of the same thing.

`spectra` proposes pairs, `registration` lays one photograph of a pair over the other, `agreement` measures how well
they agree where they agree least, and `limits` says from which agreement on they are the same, by how much different
parts of this product agree. `search` does all of it, on `thumbnail`s.

**Choice of the constants**: on training photographs alone, of the magnetic tiles, the solar cells and the rendered
lines, with copies planted among them. `benchmarks.leaks` measures what is found among the others.
"""

from train.data.likeness.limits import Limits
from train.data.likeness.search import Alike, near_duplicates
from train.data.likeness.thumbnail import Thumbnail, thumbnail

__all__ = ["Alike", "Limits", "Thumbnail", "near_duplicates", "thumbnail"]
