"""Kills, single bytes, full and read-only disks: what they may leave is what an undisturbed program makes."""
