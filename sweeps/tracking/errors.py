"""What goes wrong with MLflow and is not a bug: apart, so that telling one from another imports nothing heavy."""

from engine.names import InputMessageError


class TrackingError(InputMessageError):
    """MLflow could not be written or read; the message says what would do."""


class TrackingBusyError(TrackingError):
    """Another process is writing the runs of the same sweep."""


class StoreFailedError(TrackingError):
    """The store failed while it was written; what is missing can be written later."""


class DatabaseGoneError(TrackingError):
    """The database was deleted or replaced while it was written."""


class UiError(InputMessageError):
    """The MLflow UI cannot be started as asked; the message is one line and says what would do."""
