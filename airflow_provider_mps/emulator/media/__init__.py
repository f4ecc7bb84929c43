"""Sounds, pictures and films."""
