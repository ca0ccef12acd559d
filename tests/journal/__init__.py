"""The journal: what was queued survives the process, from Python, on real processes and real servers."""
