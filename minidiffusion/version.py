r"""The version, in a module of its own, so that records can name it without importing the whole public API."""

__version__ = "0.2.0"
