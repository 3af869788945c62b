"""Mutation fuzzing of everything that reads files: what damages them, the readers, and what a reading may do."""
