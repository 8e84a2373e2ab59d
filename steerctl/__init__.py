"""steerctl: what happens to a policy's entropy in RLVR, and which intervention to trust."""

__version__ = "0.1.0"
