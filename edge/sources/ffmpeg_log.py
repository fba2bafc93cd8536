"""Errors that FFmpeg logs and does not return: damage that it covered up, as of a slice whose checksum is wrong."""


def complaints() -> int:
    """How many errors FFmpeg has logged in this process. They are counted from the first call on, and not shown."""
    import av.logging

    if av.logging.get_level() is None:
        av.logging.set_level(av.logging.PANIC)  # errors are counted at every level but None
    count, _ = av.logging.get_last_error()
    return int(count)
