"""The project's own errors. A command turns an EdgeError into one line on standard error and exit code 2."""


class EdgeError(Exception):
    """Something a person can put right; the message names the thing and the remedy, in one line."""

    exit_code = 2


class SourceError(EdgeError):
    """A source that does not exist, cannot be opened or holds no frames."""


class BundleError(EdgeError):
    """A bundle that is incomplete, changed, of a newer schema, or that scores differently on this machine."""


class KeyFileError(EdgeError):
    """A key file that does not exist, is no key of the right kind, or that others can read."""


class ChannelError(EdgeError):
    """A socket that cannot be bound or reached."""


class TakenError(ChannelError):
    """A port or path that another process has. It may let go by itself: a service manager should start this again."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class ActuatorError(EdgeError):
    """An actuator that does not exist, cannot be opened, or failed when it was to move."""


class DataError(EdgeError):
    """Training or validation photographs that cannot be used as they are."""


class RecipeError(EdgeError):
    """A training recipe that does not exist or says something impossible."""


class RecordsError(EdgeError):
    """Records that cannot be written or read, or that another station is writing."""


class DamagedError(RecordsError):
    """A journal that is damaged, or not that of a station."""


class ConfigError(EdgeError):
    """A station's configuration that cannot be read, or a key of it that does not exist or has an impossible value."""
