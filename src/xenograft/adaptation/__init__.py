"""(source images with labels, target images without) -> features or networks adapted to the target domain.

The transductive setting of the paper's Definition 5: the task is the same in both domains, labels exist in one. Nothing
here takes labels of either domain.
"""
