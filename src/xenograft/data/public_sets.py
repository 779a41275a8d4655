"""Public data sets as rows of the catalog. What could not be found in two places, or with its author, was left out."""

from __future__ import annotations

from xenograft.data.dataset_spec import DatasetSpec

_NIH = "Wang et al. 2017, arXiv:1705.02315"
_RSNA = "https://www.rsna.org/artificial-intelligence/ai-image-challenge/rsna-pneumonia-detection-challenge-2018"
_LABELS_CHECKED = (
    "Four physicians agreed with 65 to 80 % of the labels sampled from NIH ChestX-ray14 and CheXpert (JMIR Med Inform "
    "2020, doi:10.2196/18089)."
)
_CHEXPERT_CLASSES = (
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation"),
    *("Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices"),
)
_GRADES = ("0", "1", "2", "3", "4")
_TERMS = "terms of use at its address"

_CHEST = (
    DatasetSpec(
        name="nih_chest_xray14",
        title="NIH ChestX-ray14 (Wang et al. 2017)",
        source=_NIH,
        licence="no restriction; cite the paper, name the NIH Clinical Center and link its address",
        address="https://nihcc.app.box.com/v/ChestXray-NIHCC",
        classes=(
            *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia"),
            *("Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
        ),
        patient_pattern=r"(\d{8})_\d{3}\.\w+$",
        patient_rule="patient key from the file name (<N>_<image>): its first eight digits",
        absence="No Finding",
        task="multi-label",
        facts=(
            "Labels were mined from reports; a radiologist found positive predictive values mostly 10 to 30 % lower "
            "than documented (Oakden-Rayner 2020, doi:10.1016/j.acra.2019.10.006).",
            _LABELS_CHECKED,
            f"Its 112,120 images are of 30,805 patients ({_NIH}): a split by image leaks.",
            "RSNA Pneumonia and ChestMNIST are made of its images: none is an external test of another "
            f"({_RSNA}; doi:10.1038/s41597-022-01721-8).",
        ),
    ),
    DatasetSpec(
        name="chexpert",
        title="CheXpert (Irvin et al. 2019)",
        source="Irvin et al. 2019, doi:10.1609/aaai.v33i01.3301590",
        licence="Stanford research use agreement",
        address="https://stanfordmlgroup.github.io/competitions/chexpert/",
        classes=_CHEXPERT_CLASSES,
        patient_pattern=r"(?:^|/)(patient\d{5})/study\d+/view\d+_(?:frontal|lateral)\.\w+$",
        patient_rule="patient key from the path (patient<N>/study<N>/view<N>)",
        over="path",
        absence="No Finding",
        task="multi-label",
        facts=(
            "Labels were read out of reports by a program that also says 'uncertain' (-1): neither positive nor "
            "negative (Irvin et al. 2019, doi:10.1609/aaai.v33i01.3301590).",
            "A blank label says that the report does not mention the finding: it is unknown here, not absent (Irvin et "
            "al. 2019, doi:10.1609/aaai.v33i01.3301590).",
            "Only the validation and test labels are radiologists' (three and five of them): those of train mean "
            "something else (Irvin et al. 2019, doi:10.1609/aaai.v33i01.3301590).",
            _LABELS_CHECKED,
        ),
    ),
    DatasetSpec(
        name="mimic_cxr_jpg",
        title="MIMIC-CXR-JPG (Johnson et al. 2019)",
        source="Johnson et al. 2019, arXiv:1901.07042; version 2.1.0, doi:10.13026/jsn5-t979",
        licence="PhysioNet credentialed access",
        address="https://physionet.org/content/mimic-cxr-jpg/",
        classes=_CHEXPERT_CLASSES,
        patient_pattern=r"(?:^|/)p\d{2}/(p\d{8})/s\d{8}/[0-9a-f]{8}(?:-[0-9a-f]{8}){4}\.\w+$",
        patient_rule="patient key from the path (p<NN>/p<N>/s<N>/<image>): the second folder",
        over="path",
        absence="No Finding",
        task="multi-label",
        facts=(
            "Labels were read out of reports by programs, not out of images (Johnson et al. 2024, "
            "doi:10.13026/jsn5-t979).",
            "A label is of a report: the 377,110 images of 227,827 reports share them, whatever each view shows "
            "(Johnson et al. 2024, doi:10.13026/jsn5-t979).",
        ),
    ),
    DatasetSpec(
        name="rsna_pneumonia",
        title="RSNA Pneumonia Detection Challenge (Shih et al. 2019)",
        source="Shih et al. 2019, doi:10.1148/ryai.2019180041",
        licence=f"any use with attribution; {_TERMS}",
        address=_RSNA,
        classes=(),
        patient_pattern=None,
        patient_rule="its patientId names an image; RSNA's mapping file leads to the NIH file name, whose first eight "
        "digits are the patient",
        task="binary",
        facts=(
            "Its patientId names an image, not a patient: images of one NIH patient carry different ones, and only "
            f"RSNA's mapping file says which ({_RSNA}).",
            "Its images are 30,000 of NIH ChestX-ray14's: neither is an external test of the other (Shih et al. 2019, "
            "doi:10.1148/ryai.2019180041).",
        ),
    ),
    DatasetSpec(
        name="padchest",
        title="PadChest (Bustos et al. 2020)",
        source="Bustos et al. 2020, doi:10.1016/j.media.2020.101797",
        licence=f"research use; {_TERMS}",
        address="http://bimcv.cipf.es/bimcv-projects/padchest/",
        classes=(),
        patient_pattern=None,
        patient_rule="the patient stands in the column PatientID of its table, not in the file name; give "
        "--patient-column PatientID",
        task="multi-label",
        facts=(
            "Physicians labelled 27 % of the reports, a recurrent network the others (Bustos et al. 2020, "
            "doi:10.1016/j.media.2020.101797).",
        ),
    ),
    DatasetSpec(
        name="covid19_radiography",
        title="COVID-19 Radiography Database (Chowdhury et al. 2020)",
        source="Chowdhury et al. 2020, doi:10.1109/ACCESS.2020.3010287",
        licence=_TERMS,
        address="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
        classes=("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"),
        patient_pattern=None,
        patient_rule="its file names number the images of a class and name no patient",
        file_pattern=r"(?:COVID|Lung_Opacity|Normal|Viral Pneumonia)-\d+\.\w+$",
        not_images=r"(?:^|/)masks/",
        facts=(
            "The source gives the class away: COVID images are from places of their own, every lung opacity is "
            "from RSNA, every viral pneumonia from chest_xray "
            "(https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database).",
            "Every viral pneumonia is of a child of one to five years, and age is easy to see (Kermany et "
            "al. 2018, doi:10.17632/rscbjbr9sj).",
            "On such mixtures AUC was 1.00 for sources seen in training and as low as 0.38 for others "
            "(https://pmc.ncbi.nlm.nih.gov/articles/PMC8224464).",
            "It shares images with chest_xray, RSNA Pneumonia and NIH ChestX-ray14: none of these is an external test "
            "(https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database).",
        ),
    ),
    DatasetSpec(
        name="tb_chest_xrays",
        title="Montgomery and Shenzhen tuberculosis X-rays (Jaeger et al. 2014)",
        source="Jaeger et al. 2014, https://www.ncbi.nlm.nih.gov/pmc/articles/PMC4256233/",
        licence=_TERMS,
        address="https://lhncbc.nlm.nih.gov/LHC-publications/pubs/TuberculosisChestXrayImageDataSets.html",
        classes=(),
        patient_pattern=None,
        patient_rule="its file names number X-rays (MCUCXR_<N>_<label>, CHNCXR_<N>_<label>) and name no patient",
        not_images=r"(?:^|/)(?:ManualMask|masks?)/|_mask\.\w+$",
        task="binary",
        facts=(
            "Tuberculosis is in 58 of 138 X-rays from Montgomery and in 336 of 662 from Shenzhen: together, what tells "
            "the hospitals apart tells the label a little "
            "(https://lhncbc.nlm.nih.gov/LHC-publications/pubs/TuberculosisChestXrayImageDataSets.html).",
        ),
    ),
)

_BONE_AND_BREAST = (
    DatasetSpec(
        name="mura",
        title="MURA musculoskeletal radiographs (Rajpurkar et al. 2017)",
        source="Rajpurkar et al. 2017, arXiv:1712.06957",
        licence=_TERMS,
        address="https://stanfordmlgroup.github.io/competitions/mura/",
        classes=("negative", "positive"),
        patient_pattern=r"(?:^|/)(patient\d{5})/study\d+_(?:negative|positive)/image\d+\.\w+$",
        patient_rule="patient key from the path (patient<N>/study<N>_<label>/image<N>)",
        over="path",
        task="binary",
        facts=(
            "A label is of a study: its images share it, whatever each view shows (Rajpurkar et al. 2017, "
            "arXiv:1712.06957).",
            "Labels miss degenerative joint disease: for it they have 60 % sensitivity and 82 % specificity "
            "(Oakden-Rayner 2020, doi:10.1016/j.acra.2019.10.006).",
        ),
    ),
    DatasetSpec(
        name="cbis_ddsm",
        title="CBIS-DDSM mammograms (Lee et al. 2017)",
        source="Lee et al. 2017, doi:10.1038/sdata.2017.177; doi:10.7937/K9/TCIA.2016.7O02S9CY",
        licence="CC BY 3.0",
        address="https://www.cancerimagingarchive.net/collection/cbis-ddsm/",
        classes=("BENIGN", "BENIGN_WITHOUT_CALLBACK", "MALIGNANT"),
        patient_pattern=r"(?:^|/)(?:Mass|Calc)-(?:Training|Test)_(P_\d{5})_(?:LEFT|RIGHT)_(?:CC|MLO)(?![A-Za-z])",
        patient_rule="patient key from the path (Mass-Training_P_<N>_LEFT_CC and the like): P_<N>",
        over="path",
        not_images=r"(?i:roi mask)",
        facts=(
            "PatientID in its DICOM files names a view, not a woman: there are over 6,000 of them for 1,566 women "
            "(doi:10.7937/K9/TCIA.2016.7O02S9CY).",
            "Its 753 calcification and 891 mass cases are of 1,566 women: some have both, so the train split of one "
            "kind may hold women of the other's test split (Lee et al. 2017, doi:10.1038/sdata.2017.177).",
            "Whole mammograms, cut-out regions and masks lie in one download and are not one population "
            "(doi:10.7937/K9/TCIA.2016.7O02S9CY).",
        ),
    ),
    DatasetSpec(
        name="busi",
        title="BUSI breast ultrasound (Al-Dhabyani et al. 2020)",
        source="Al-Dhabyani et al. 2020, doi:10.1016/j.dib.2019.104863",
        licence=_TERMS,
        address="https://doi.org/10.1016/j.dib.2019.104863",
        classes=("benign", "malignant", "normal"),
        patient_pattern=None,
        patient_rule="its file names number the images of a class and name no patient",
        file_pattern=r"(?:benign|malignant|normal) \(\d+\)(?:_mask(?:_\d+)?)?\.\w+$",
        not_images=r"_mask(?:_\d+)?\.\w+$",
        facts=(
            "It holds duplicated images, drawn-in marks and images of the axilla (Pawłowska et al. 2023, "
            "doi:10.1016/j.dib.2023.109247).",
            "Its 780 images are of 600 women and none is named: images of one may lie in two splits (Al-Dhabyani et "
            "al. 2020, doi:10.1016/j.dib.2019.104863).",
            "BreastMNIST is made of its images: neither is an external test of the other "
            "(doi:10.1038/s41597-022-01721-8).",
        ),
    ),
)

_EYE = (
    DatasetSpec(
        name="oct2017",
        title="Retinal OCT (Kermany et al. 2018)",
        source="Kermany et al. 2018, doi:10.1016/j.cell.2018.02.010",
        licence="CC BY 4.0",
        address="https://doi.org/10.17632/rscbjbr9sj",
        classes=("CNV", "DME", "DRUSEN", "NORMAL"),
        # one number stands under several diseases (DRUSEN-1001666-1, NORMAL-1001666-1): the same patient's eyes
        patient_pattern=r"(?:CNV|DME|DRUSEN|NORMAL)-(\d+)-\d+\.\w+$",
        patient_rule="patient key from the file name (<disease>-<N>-<image>): <N>, whatever the disease",
        merge_validation=True,
        facts=(
            "Scans of one patient lie in the official train and test splits "
            "(https://tvst.arvojournals.org/article.aspx?articleid=2778252).",
            "Splits that cut patients inflated accuracy by 5 to 30 % on three OCT sets, this one among them (Tampu et "
            "al. 2022, doi:10.1038/s41597-022-01618-6).",
            "A patient's scans are nearly the same picture many times: count patients, not images "
            "(https://tvst.arvojournals.org/article.aspx?articleid=2778252).",
        ),
    ),
    DatasetSpec(
        name="eyepacs_dr",
        title="Kaggle Diabetic Retinopathy Detection (EyePACS 2015)",
        source="https://www.kaggle.com/c/diabetic-retinopathy-detection/data",
        licence=f"rules of the competition; {_TERMS}",
        address="https://www.kaggle.com/c/diabetic-retinopathy-detection/data",
        classes=_GRADES,
        patient_pattern=r"(\d+)_(?:left|right)\.\w+$",
        patient_rule="patient key from the file name (<N>_left, <N>_right)",
        task="ordinal",
        facts=(
            "Every subject has a left and a right eye in it: a split by image leaks "
            "(https://www.kaggle.com/c/diabetic-retinopathy-detection/data).",
            "Its makers say that images and labels are noisy, and that some images are inverted "
            "(https://www.kaggle.com/c/diabetic-retinopathy-detection/data).",
        ),
    ),
    DatasetSpec(
        name="aptos2019",
        title="APTOS 2019 Blindness Detection",
        source="https://www.kaggle.com/c/aptos2019-blindness-detection/data",
        licence=f"rules of the competition; {_TERMS}",
        address="https://www.kaggle.com/c/aptos2019-blindness-detection/data",
        classes=_GRADES,
        patient_pattern=None,
        patient_rule="its table holds a code and a grade for each image, no patient",
        task="ordinal",
        facts=(
            "Images are of several clinics and cameras, none of which is named: neither these nor patients can be kept "
            "apart by a split (https://www.kaggle.com/c/aptos2019-blindness-detection/data).",
        ),
    ),
)

_SKIN_AND_TISSUE = (
    DatasetSpec(
        name="ham10000",
        title="HAM10000 dermatoscopic images (Tschandl et al. 2018)",
        source="Tschandl et al. 2018, doi:10.1038/sdata.2018.161",
        licence="CC BY-NC 4.0",
        address="https://doi.org/10.7910/DVN/DBW86T",
        classes=("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"),
        patient_pattern=None,
        patient_rule="its table groups images by lesion, not by patient; give --patient-column lesion_id",
        facts=(
            "Lesions have several images: only the column lesion_id keeps them together (doi:10.7910/DVN/DBW86T).",
            "Even so, some images of one lesion carry different lesion_id (Abhishek et al. 2025, "
            "doi:10.1038/s41597-025-04382-5).",
            "Histopathology confirms more than half of the lesions; for the others it was follow-up, expert consensus "
            "or confocal microscopy (Tschandl et al. 2018, doi:10.1038/sdata.2018.161).",
        ),
    ),
    DatasetSpec(
        name="isic2019",
        title="ISIC 2019 dermoscopic images",
        source="HAM10000 (Tschandl et al. 2018, doi:10.1038/sdata.2018.161) with BCN_20000 and MSK",
        licence="CC BY-NC 4.0",
        address="https://challenge.isic-archive.com/data/",
        classes=("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"),
        patient_pattern=None,
        patient_rule="its table groups images by lesion, not by patient; give --patient-column lesion_id",
        absence="UNK",
        facts=(
            "Image size tells the source: 600 x 450 is HAM10000, 1024 x 1024 is BCN_20000 (Gessert et al. 2019, "
            "arXiv:1910.03910).",
            "ISIC sets share images within and between years, also across train and test (Cassidy et al. 2022, "
            "doi:10.1016/j.media.2021.102305).",
        ),
    ),
    DatasetSpec(
        name="isic2020",
        title="SIIM-ISIC 2020 dermoscopic images (Rotemberg et al. 2021)",
        source="Rotemberg et al. 2021, doi:10.1038/s41597-021-00815-z",
        licence="CC BY-NC 4.0",
        address="https://doi.org/10.34970/2020-ds01",
        classes=("benign", "malignant"),
        patient_pattern=None,
        patient_rule="the patient stands in its table, not in the file name; give --patient-column patient_id",
        task="binary",
        facts=(
            "Its 33,126 images are of 2,056 patients, 16 lesions each on average: a split by image leaks (Rotemberg et "
            "al. 2021, doi:10.1038/s41597-021-00815-z).",
            "Melanomas are 1.8 % of the images (Rotemberg et al. 2021, doi:10.1038/s41597-021-00815-z).",
            "ISIC sets share images within and between years, also across train and test (Cassidy et al. 2022, "
            "doi:10.1016/j.media.2021.102305); ISIC_2020_Training_Duplicates.csv lists those inside this one.",
        ),
    ),
    DatasetSpec(
        name="breakhis",
        title="BreaKHis breast histopathology (Spanhol et al. 2016)",
        source="Spanhol et al. 2016, doi:10.1109/TBME.2015.2496264",
        licence="CC BY 4.0",
        address="https://web.inf.ufpr.br/vri/databases/breast-cancer-histopathological-database-breakhis/",
        classes=("benign", "malignant"),
        # letters after the number tell parts of a case apart (22549AB, 22549CD, 22549G): together they leak nothing
        patient_pattern=r"SOB_[BM]_(?:A|F|PT|TA|DC|LC|MC|PC)-(\d{2}-\d+)[A-Z]*-(?:40|100|200|400)-\d+\.\w+$",
        patient_rule="patient key from the file name (SOB_B_TA-<year>-<N><letters>-<zoom>-<image>): <year>-<N>",
        task="binary",
        facts=(
            "Its 7,909 images are of 82 patients at four magnifications: a split by image leaks (Spanhol et al. 2016, "
            "doi:10.1109/TBME.2015.2496264).",
            "Slide 14-13412 is there twice, as ductal and as lobular carcinoma, with pictures that are the same "
            "(SOB_M_DC-14-13412-100-026 and SOB_M_LC-14-13412-100-026 at https://web.inf.ufpr.br/vri/databases/).",
        ),
    ),
    DatasetSpec(
        name="pcam",
        title="PatchCamelyon (Veeling et al. 2018)",
        source="Veeling et al. 2018, doi:10.1007/978-3-030-00934-2_24",
        licence="CC0 1.0",
        address="https://doi.org/10.5281/zenodo.2546921",
        classes=(),
        patient_pattern=None,
        patient_rule="its meta files name the slide of a patch, not the patient; give a table with that column and "
        "--patient-column",
        task="binary",
        facts=(
            "A label speaks of the central 32 x 32 pixels only: cropping or zooming changes what it means "
            "(https://github.com/basveeling/pcam).",
            "Half of the patches are positive by design, and negatives were chosen to be hard: predictive values mean "
            "nothing elsewhere (https://github.com/basveeling/pcam).",
            "The official splits share no slide, but patches of one slide are not independent "
            "(https://github.com/basveeling/pcam).",
        ),
    ),
)

PUBLIC_SETS = (*_CHEST, *_BONE_AND_BREAST, *_EYE, *_SKIN_AND_TISSUE)
