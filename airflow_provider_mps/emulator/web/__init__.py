"""The emulator's web server."""
