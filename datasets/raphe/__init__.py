"""Loose-seal recordings of raphe neurons: from files to single spikes, and the table of them."""
