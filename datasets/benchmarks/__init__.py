"""Shared benchmarks: what each is, frozen; its samples, questions and splits; the folder of one that was made."""
