"""Speed, as ratios within one run: figures of different moments on one machine can't be compared."""
