"""The twelve two-dimensional sets of MedMNIST as rows of the catalog.

Classes, tasks, sizes and licences are those of medmnist 3.0.2 (github.com/MedMNIST/MedMNIST, medmnist/info.py); sizes
of version 2 are given as well where they differ.
"""

from __future__ import annotations

from xenograft.data.dataset_spec import DatasetSpec, Task

_PAPER = "Yang et al. 2023, doi:10.1038/s41597-022-01721-8"
_KERMANY = "Kermany et al. 2018, doi:10.17632/rscbjbr9sj"
_ORGANS = (
    *("bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left"),
    *("lung-right", "pancreas", "spleen"),
)
_CUT = "and no patient is named, so images of one patient may lie on both sides"


def _set(
    title: str,
    origin: str,
    classes: tuple[str, ...],
    sizes: tuple[tuple[int, int, int], ...],
    facts: tuple[str, ...],
    *,
    task: Task = "multi-class",
    licence: str = "CC BY 4.0",
) -> DatasetSpec:
    return DatasetSpec(
        name=title.lower(),
        title=f"{title} (Yang et al. 2023)",
        source=f"{_PAPER}; from {origin}",
        licence=licence,
        address="https://doi.org/10.5281/zenodo.10519652",
        classes=classes,
        patient_pattern=None,
        patient_rule="its archive holds images and labels, no patients",
        task=task,
        indexed=True,
        sizes=sizes,
        facts=facts,
    )


def _organs(letter: str, sizes: tuple[tuple[int, int, int], ...], *, sides: tuple[str, ...] = ()) -> DatasetSpec:
    """One of three views of the same scans; `sides`: what is true only where left and right can be seen."""
    (now, _, _), (before, _, _) = sizes
    return _set(
        f"Organ{letter}MNIST",
        "CT scans of the Liver Tumor Segmentation Benchmark",
        _ORGANS,
        sizes,
        (
            "Each split has scans of its own (115, 16 and 70), but many slices are of one scan and none is named: "
            f"intervals that take slices as independent are too narrow ({_PAPER}).",
            "OrganAMNIST, OrganCMNIST and OrganSMNIST show the same scans from three sides: none is an external test "
            f"of another ({_PAPER}).",
            f"Results of versions 2 and 3 are not of the same images: {before:,} and {now:,} are in train "
            "(https://github.com/MedMNIST/MedMNIST).",
            *sides,
        ),
    )


_SIDES = (f"Left and right organs are classes of their own: a horizontal flip makes a label wrong ({_PAPER}).",)

MEDMNIST = (
    _set(
        "PathMNIST",
        "NCT-CRC-HE-100K and CRC-VAL-HE-7K (Kather et al. 2018, doi:10.5281/zenodo.1214456)",
        (
            *("adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa"),
            *("cancer-associated stroma", "colorectal adenocarcinoma epithelium"),
        ),
        ((89_996, 10_004, 7_180),),
        (
            "Colour goes far without tissue: on the source a colour histogram reaches over 82 % accuracy, three mean "
            "intensities over 50 %, and JPEG artefacts differ between classes (Ignatov and Malivenko 2024, "
            "arXiv:2409.11546).",
            f"Validation is a tenth of the training source {_CUT}; test is of another clinical centre ({_PAPER}).",
        ),
    ),
    _set(
        "ChestMNIST",
        "NIH ChestX-ray14 (Wang et al. 2017, arXiv:1705.02315)",
        (
            *("atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia"),
            *("pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia"),
        ),
        ((78_468, 11_219, 22_433),),
        (
            "Labels were mined from reports; a radiologist found positive predictive values mostly 10 to 30 % lower "
            "than documented (Oakden-Rayner 2020, doi:10.1016/j.acra.2019.10.006).",
            "Its images are those of NIH ChestX-ray14, from which RSNA Pneumonia was made too: none is an external "
            f"test of another ({_PAPER}).",
        ),
        task="multi-label",
    ),
    _set(
        "DermaMNIST",
        "HAM10000 (Tschandl et al. 2018, doi:10.1038/sdata.2018.161)",
        (
            *("actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma"),
            *("benign keratosis-like lesions", "dermatofibroma", "melanoma", "melanocytic nevi", "vascular lesions"),
        ),
        ((7_007, 1_003, 2_005),),
        (
            "The official splits leak: images of one lesion lie in more than one; DermaMNIST-C and -E are corrected "
            "(Abhishek et al. 2025, doi:10.1038/s41597-025-04382-5).",
        ),
        licence="CC BY-NC 4.0",
    ),
    _set(
        "OCTMNIST",
        _KERMANY,
        ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
        ((97_477, 10_832, 1_000),),
        (
            "In the source, scans of one patient lie in the official train and test splits "
            "(https://tvst.arvojournals.org/article.aspx?articleid=2778252); the archive does not say which.",
            "Splits that cut patients inflated accuracy by 5 to 30 % on three OCT sets, this source among them (Tampu "
            "et al. 2022, doi:10.1038/s41597-022-01618-6).",
            f"Validation is a tenth of the source's train split {_CUT} ({_PAPER}).",
        ),
    ),
    _set(
        "PneumoniaMNIST",
        _KERMANY,
        ("normal", "pneumonia"),
        ((4_708, 524, 624),),
        (
            "Its X-rays are those of chest_xray: neither set is an external test of the other, and what is known of "
            f"that one holds here ({_KERMANY}).",
            f"Validation is a tenth of the source's train split {_CUT} ({_PAPER}).",
        ),
        task="binary",
    ),
    _set(
        "RetinaMNIST",
        "DeepDRiD (Liu et al. 2022, doi:10.1016/j.patter.2022.100512)",
        ("0", "1", "2", "3", "4"),
        ((1_080, 120, 400),),
        (
            "Classes are grades of diabetic retinopathy in order: metrics for unordered classes take every error as "
            f"equally bad ({_PAPER}).",
            f"DeepDRiD grades two views of an eye (doi:10.1016/j.patter.2022.100512); validation is a tenth of its "
            f"train split {_CUT} ({_PAPER}).",
        ),
        task="ordinal",
    ),
    _set(
        "BreastMNIST",
        "BUSI (Al-Dhabyani et al. 2020, doi:10.1016/j.dib.2019.104863)",
        ("malignant", "normal, benign"),
        ((546, 78, 156),),
        (
            f"The disease has the lower number: 0 is malignant, 1 is normal or benign ({_PAPER}).",
            "The source holds duplicated images, drawn-in marks and images of the axilla (Pawłowska et al. 2023, "
            "doi:10.1016/j.dib.2023.109247).",
            f"It was split 7:1:2 {_CUT} ({_PAPER}).",
        ),
        task="binary",
    ),
    _set(
        "BloodMNIST",
        "a set of normal peripheral blood cells",
        (
            *("basophil", "eosinophil", "erythroblast"),
            "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
            *("lymphocyte", "monocyte", "neutrophil", "platelet"),
        ),
        ((11_959, 1_712, 3_421),),
        (
            "All cells are of people without infection and without haematologic or oncologic disease: no class is a "
            f"disease ({_PAPER}).",
            f"It was split 7:1:2 {_CUT} ({_PAPER}).",
        ),
    ),
    _set(
        "TissueMNIST",
        "BBBC051 of the Broad Bioimage Benchmark Collection",
        (
            *("Collecting Duct, Connecting Tubule", "Distal Convoluted Tubule", "Glomerular endothelial cells"),
            *("Interstitial endothelial cells", "Leukocytes", "Podocytes", "Proximal Tubule Segments"),
            "Thick Ascending Limb",
        ),
        ((165_466, 23_640, 47_280),),
        (
            "Its 236,386 cells are of three specimens and were split 7:1:2; no specimen is named, so cells of one may "
            f"lie on both sides, and three say little about other people ({_PAPER}).",
            f"Each image is the maximum over seven slices, not a picture that a microscope shows ({_PAPER}).",
        ),
    ),
    _organs("A", ((34_561, 6_491, 17_778), (34_581, 6_491, 17_778)), sides=_SIDES),
    _organs("C", ((12_975, 2_392, 8_216), (13_000, 2_392, 8_268)), sides=_SIDES),
    _organs("S", ((13_932, 2_452, 8_827), (13_940, 2_452, 8_829))),
)
