"""Sentences with marks for what they cite -> the same with numbers, and the list of references in that order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import MappingProxyType

from xenograft.data import catalog

_DATA = "data:"
# Private-use characters: no name of a class or file that went through `printable` can hold them.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f" ?{_OPEN}([^{_CLOSE}]*){_CLOSE}")

REFERENCES = MappingProxyType(
    {
        "transfer": "Gu C, Lee M. Deep transfer learning using real-world image features for medical image "
        "classification, with a case study on pneumonia X-ray images. Bioengineering 2024;11(4):406. "
        "doi:10.3390/bioengineering11040406",
        "imagenet": "Russakovsky O, Deng J, Su H, et al. ImageNet large scale visual recognition challenge. Int J "
        "Comput Vis 2015;115:211-252. doi:10.1007/s11263-015-0816-y",
        "resnet": "He K, Zhang X, Ren S, Sun J. Deep residual learning for image recognition. CVPR 2016. "
        "arXiv:1512.03385",
        "densenet": "Huang G, Liu Z, van der Maaten L, Weinberger KQ. Densely connected convolutional networks. CVPR "
        "2017. arXiv:1608.06993",
        "shufflenet": "Ma N, Zhang X, Zheng HT, Sun J. ShuffleNet V2: practical guidelines for efficient CNN "
        "architecture design. ECCV 2018. arXiv:1807.11164",
        "mobilenet": "Sandler M, Howard A, Zhu M, Zhmoginov A, Chen LC. MobileNetV2: inverted residuals and linear "
        "bottlenecks. CVPR 2018. arXiv:1801.04381",
        "resnext": "Xie S, Girshick R, Dollár P, Tu Z, He K. Aggregated residual transformations for deep neural "
        "networks. CVPR 2017. arXiv:1611.05431",
        "wide_resnet": "Zagoruyko S, Komodakis N. Wide residual networks. BMVC 2016. arXiv:1605.07146",
        "inception": "Szegedy C, Vanhoucke V, Ioffe S, Shlens J, Wojna Z. Rethinking the Inception architecture for "
        "computer vision. CVPR 2016. arXiv:1512.00567",
        "squeezenet": "Iandola FN, Han S, Moskewicz MW, et al. SqueezeNet: AlexNet-level accuracy with 50x fewer "
        "parameters and <0.5MB model size. 2016. arXiv:1602.07360",
        "efficientnet": "Tan M, Le QV. EfficientNet: rethinking model scaling for convolutional neural networks. ICML "
        "2019. arXiv:1905.11946",
        "adamw": "Loshchilov I, Hutter F. Decoupled weight decay regularization. ICLR 2019. arXiv:1711.05101",
        "cosine": "Loshchilov I, Hutter F. SGDR: stochastic gradient descent with warm restarts. ICLR 2017. "
        "arXiv:1608.03983",
        "lp_ft": "Kumar A, Raghunathan A, Jones R, Ma T, Liang P. Fine-tuning can distort pretrained features and "
        "underperform out-of-distribution. ICLR 2022. arXiv:2202.10054",
        "ulmfit": "Howard J, Ruder S. Universal language model fine-tuning for text classification. ACL 2018. "
        "arXiv:1801.06146",
        "l2_sp": "Li X, Grandvalet Y, Davoine F. Explicit inductive bias for transfer learning with convolutional "
        "networks. ICML 2018. arXiv:1802.01483",
        "norm_only": "Frankle J, Schwab DJ, Morcos AS. Training BatchNorm and only BatchNorm: on the expressive power "
        "of random features in CNNs. ICLR 2021. arXiv:2003.00152",
        "lora": "Hu EJ, Shen Y, Wallis P, et al. LoRA: low-rank adaptation of large language models. ICLR 2022. "
        "arXiv:2106.09685",
        "youden": "Youden WJ. Index for rating diagnostic tests. Cancer 1950;3:32-35",
        "bootstrap": "Efron B. Bootstrap methods: another look at the jackknife. Ann Stat 1979;7:1-26. "
        "doi:10.1214/aos/1176344552",
        "clusters": "Field CA, Welsh AH. Bootstrapping clustered data. J R Stat Soc B 2007;69:369-390. "
        "doi:10.1111/j.1467-9868.2007.00593.x",
        "holm": "Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 1979;6:65-70",
        "delong": "DeLong ER, DeLong DM, Clarke-Pearson DL. Comparing the areas under two or more correlated receiver "
        "operating characteristic curves: a nonparametric approach. Biometrics 1988;44:837-845. doi:10.2307/2531595",
        "obuchowski": "Obuchowski NA. Nonparametric analysis of clustered ROC curve data. Biometrics 1997;53:567-578. "
        "doi:10.2307/2533958",
        "mcnemar": "McNemar Q. Note on the sampling error of the difference between correlated proportions or "
        "percentages. Psychometrika 1947;12:153-157. doi:10.1007/BF02295996",
        "platt": "Platt JC. Probabilistic outputs for support vector machines and comparisons to regularized "
        "likelihood methods. Advances in Large Margin Classifiers, 1999:61-74",
        "temperature": "Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML 2017. "
        "arXiv:1706.04599",
        "calibration": "Van Calster B, McLernon DJ, van Smeden M, et al. Calibration: the Achilles heel of predictive "
        "analytics. BMC Med 2019;17:230. doi:10.1186/s12916-019-1466-7",
        "decision": "Vickers AJ, Elkin EB. Decision curve analysis: a novel method for evaluating prediction models. "
        "Med Decis Making 2006;26:565-574. doi:10.1177/0272989X06295361",
        "conformal": "Vovk V, Gammerman A, Shafer G. Algorithmic learning in a random world. Springer, 2005",
        "abstention": "Geifman Y, El-Yaniv R. Selective classification for deep neural networks. NeurIPS 2017. "
        "arXiv:1705.08500",
        "pytorch": "Paszke A, Gross S, Massa F, et al. PyTorch: an imperative style, high-performance deep learning "
        "library. NeurIPS 2019. arXiv:1912.01703",
        "sklearn": "Pedregosa F, Varoquaux G, Gramfort A, et al. Scikit-learn: machine learning in Python. J Mach "
        "Learn Res 2011;12:2825-2830",
    }
)


def mark(*keys: str) -> str:
    """What stands in a sentence, right behind a word, for ``[1, 2]``: keys of `REFERENCES`, or of `data_key`."""
    return f" {_OPEN}{','.join(keys)}{_CLOSE}" if keys else ""


def data_key(name: str | None) -> str | None:
    """The key of a known data set's publication; None for a set that no publication is known of."""
    spec = catalog.CATALOG.get(name or "")
    return None if spec is None or spec is catalog.PHANTOM else f"{_DATA}{spec.name}"


def plain(text: str) -> str:
    """The sentence without its marks."""
    return _MARK.sub("", text)


def numbered(texts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(texts, references): marks become numbers in the order of first citation; only what is cited is listed."""
    places: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        keys = found[1].split(",")
        return " [" + ", ".join(str(places.setdefault(key, len(places) + 1)) for key in keys) + "]"

    done = tuple(_MARK.sub(number, text) for text in texts)
    return done, tuple(_reference(key) for key in places)


def _reference(key: str) -> str:
    if key.startswith(_DATA):
        spec = catalog.lookup(key.removeprefix(_DATA))
        return f"{spec.title}: {spec.source}" + ("" if spec.address in spec.source else f". {spec.address}")
    return REFERENCES[key]
