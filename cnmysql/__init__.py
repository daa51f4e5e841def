"""cloudnative-mysql: the library shared by the controller manager and the instance manager."""

__version__ = "0.1.0"
