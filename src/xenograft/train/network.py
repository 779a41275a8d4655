"""A backbone under a linear head."""

from __future__ import annotations

from torch import Tensor, nn

from xenograft.backbones.build import Backbone
from xenograft.train.objective import Objective


class Classifier(nn.Module):
    """The paper's model (§5.5): the network without its last layer, and a fully connected layer in its place.

    `objective` says what its logits mean.
    """

    def __init__(self, backbone: Backbone, objective: Objective) -> None:
        super().__init__()
        self.backbone = backbone
        self.objective = objective
        self.head = nn.Linear(backbone.spec.width, objective.outputs)
        nn.init.zeros_(self.head.weight)  # every class equally likely at the start, whatever the seed
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalised -> (N, K) logits."""
        logits: Tensor = self.head(self.backbone(images))
        return logits
