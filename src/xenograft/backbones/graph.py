"""uint8 pixels -> whatever a network makes of them: replication (Eq. 14) and normalisation as the first graph nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xenograft.data.preprocess import Preprocess


class PixelGraph(nn.Module):
    """A network that takes pixels as they leave `prepare`: (N, 1 or 3, S, S) uint8.

    Gray stays one channel until here, a third of the bytes to decode, augment and move. `network` sees
    (N, 3, S, S) float32, normalised.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.network = network
        self.input_shape = (preprocess.channels, preprocess.size, preprocess.size)
        mean = torch.tensor(preprocess.mean).view(1, 3, 1, 1)
        std = torch.tensor(preprocess.std).view(1, 3, 1, 1)
        self.register_buffer("scale", 1.0 / (255.0 * std), persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 1 or 3, S, S) uint8 -> the network's output."""
        rgb = pixels.to(torch.float32).expand(-1, 3, -1, -1)  # I_RGB = I_gray x [1, 1, 1] (Eq. 14)
        output: Tensor = self.network(rgb * self.scale + self.shift)
        return output
