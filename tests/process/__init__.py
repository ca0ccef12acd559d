"""Life in a real process: threads, processes, fork, Ctrl-C, the end of the program, a kill at any moment."""
