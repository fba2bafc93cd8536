"""Words by which people call good and bad parts, and the splits: in names of folders, classes and tables."""

import re

from edge.photographs.photograph import Label

GOOD_WORDS = {
    *("good", "ok", "okay", "io", "pass", "passed", "normal", "conforming", "intact", "undamaged"),
    *("nodefect", "nodefects", "defectfree", "nondefective", "withoutdefect"),
}
BAD_WORDS = {
    *("bad", "ng", "nok", "ko", "nio", "notok", "notgood", "fail", "failed", "reject", "rejected"),
    *("anomaly", "anomalies", "anomalous", "abnormal", "nonconforming", "faulty", "fault", "damaged"),
    *("def", "defect", "defects", "defective"),
}
"""Words in lower case, without what stands between their letters."""

NEGATIONS = {"not", "no", "non", "un", "without"}

SPLIT_WORDS = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
"""Words for a split, and what it is called here."""


def label_of(name: str) -> Label | None:
    """The label of a name that is a word for good or bad, such as "OK", "n.i.O." or "no_defect"; None for others."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    return "good" if word in GOOD_WORDS else "bad" if word in BAD_WORDS else None


def label_at_end(name: str) -> Label | None:
    """The label of a name that begins or ends with such a word, as in "ok_front" and "front-not-ok".

    None for the word alone, without such a word, with words of both labels, and with a negation before the word.
    """
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    for count in range(len(words) - 1, 0, -1):
        ends = [("".join(words[:count]), words[count:]), ("".join(words[-count:]), words[:-count])]
        found = {label: rest for end, rest in ends if (label := label_of(end))}
        if found:
            is_clear = len(found) == 1 and not any(NEGATIONS & {*rest} for rest in found.values())
            return found.popitem()[0] if is_clear and not label_of(name) else None
    return None


def split_of(name: str) -> str | None:
    """The split that a word or a folder's name means, such as "valid" or "train2017"; None for other names."""
    return SPLIT_WORDS.get(re.sub(r"[-_]?\d+$", "", name.lower()))
