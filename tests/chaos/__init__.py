"""Random faults in the middle of random work, and a model that knows what must be left; replayable."""
