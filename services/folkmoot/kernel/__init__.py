"""Pure domain: ids, facts, folds, the jury. No I/O, no clock, no randomness; imports nothing else of ours."""
