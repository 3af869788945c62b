"""Shared benchmarks: made of their specifications, verified, and scored the same way for every program."""
