import numpy as np
import pytest
from sklearn.decomposition import PCA

from xenograft.transferability.compressed import principal

from .makers import task


@pytest.mark.parametrize(("n", "d"), [(60, 6), (20, 35), (9, 9)])
@pytest.mark.parametrize("share", [0.3, 0.8, 1.0])
def test_as_scikit_learn_up_to_signs(n, d, share):
    features, _, _ = task(n, n=n, d=d)
    found = principal(features, share=share)
    wanted = PCA(svd_solver="full").fit(features)
    count = int((np.cumsum(wanted.explained_variance_ratio_) < share - 1e-12).sum()) + 1
    assert found.shape == (n, min(count, n - 1, d))
    assert np.abs(found) == pytest.approx(np.abs(wanted.transform(features)[:, : found.shape[1]]), abs=1e-8)


def test_most_and_rank():
    features, _, _ = task(0, n=40, d=10)
    assert principal(features, most=3).shape == (40, 3)
    assert principal(features[:, [0, 1, 0, 1]], most=3).shape == (40, 2)
