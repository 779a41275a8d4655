"""Looking at a data set before anything is trained: records of findings, one file per family of checks, no torch."""
