"""Errors that FFmpeg logs but does not return: concealed damage, such as a slice with a wrong checksum."""


def logged_errors() -> int:
    """Number of errors that FFmpeg has logged in this process since the first call. The errors are not printed."""
    import av.logging

    if av.logging.get_level() is None:
        av.logging.set_level(av.logging.PANIC)  # PyAV counts errors at every level except None
    count, _ = av.logging.get_last_error()
    return int(count)
