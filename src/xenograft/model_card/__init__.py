"""Records of a run and its study -> MODEL_CARD.md. Facts only; what only people can say is named as not supplied."""
