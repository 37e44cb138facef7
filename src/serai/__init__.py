"""serai: an AI cooperation center that no member has to trust."""

__version__ = "0.1.0"
