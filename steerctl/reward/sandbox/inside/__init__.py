"""What runs inside the sandbox: the standard library only, nothing of steerctl, no third-party package.

The folder is mounted, or named on the path, as the package `inside`; its modules therefore import one another
relatively.
"""
