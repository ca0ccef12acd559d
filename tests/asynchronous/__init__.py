"""What is `AsyncDB`'s own: loops, cancelling, turns, forks. That it does what `DB` does is the contract's."""
