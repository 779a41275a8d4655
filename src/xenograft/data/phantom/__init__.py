"""A seed -> synthetic chest radiographs with known lesions: the offline example, and ground truth for tests.

Every image is computer-generated; no patient exists. Files say so in their text and in SYNTHETIC_MARK beside them;
nothing is burnt into the pixels, where it would be a shortcut for a classifier.
"""

from xenograft.data.phantom.collection import SYNTHETIC_MARK, Phantom, class_names, phantoms, write_phantoms
from xenograft.data.phantom.lesions import KINDS
from xenograft.data.phantom.radiograph import Patient, Radiograph, radiograph

__all__ = [
    "KINDS",
    "SYNTHETIC_MARK",
    "Patient",
    "Phantom",
    "Radiograph",
    "class_names",
    "phantoms",
    "radiograph",
    "write_phantoms",
]
